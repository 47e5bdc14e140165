//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/docker/docker/api/types/filters"
	volumetypes "github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/errdefs"
	"github.com/docker/docker/volume/service"
	"github.com/docker/docker/volume/service/opts"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

const (
	// volumeTimeout is how long a request may wait for volume plugins. One
	// that hangs costs 30 s a call, unless it was enabled with another
	// timeout, or none, and a request is a few calls.
	volumeTimeout = 2 * time.Minute
	// maxVolumeCalls is how many requests may wait at a time, those included
	// whose clients have been answered already.
	maxVolumeCalls = 256
	// volumeDrainTimeout is how long calls may take to end when plugind ends.
	volumeDrainTimeout = 10 * time.Second
)

// volumes is docker's volume service, whose calls wait for plugins whatever
// their context says, with every wait bounded. A call that was given up goes
// on; what it was to do may still happen.
type volumes struct {
	*service.VolumesService
	places chan struct{} // has room for each call that is under way
	lists  *lists[volumeList]

	mu      sync.Mutex
	closing bool
	calls   sync.WaitGroup // begun before closing
}

func newVolumes(service *service.VolumesService) *volumes {
	return &volumes{VolumesService: service, places: make(chan struct{}, maxVolumeCalls), lists: newLists[volumeList]()}
}

var (
	errVolumesBusy = errdefs.Unavailable(errors.New("too many requests wait for volume plugins: see which one hangs, and disable it by force"))
	errVolumesEnd  = errdefs.Unavailable(errors.New("plugind is shutting down"))
	errVolumesSlow = errdefs.Unavailable(fmt.Errorf("no answer of a volume plugin within %s: see the plugin's logs, or disable it by force", volumeTimeout))
)

// within returns what call does, which is to do what it says, or an error of class Unavailable once it
// takes too long, or that of ctx. The result of a call that succeeds after all
// is for late.
func within[T any](ctx context.Context, v *volumes, what string, call func() (T, error), late func(T)) (result T, err error) {
	select {
	case v.places <- struct{}{}:
	default:
		return result, fmt.Errorf("%s: %w", what, errVolumesBusy)
	}
	type outcome struct {
		result T
		err    error
	}
	done, gone := make(chan outcome), make(chan struct{})
	defer close(gone)
	begun := v.begin(func() {
		result, err := call()
		select {
		case done <- outcome{result, err}:
		case <-gone:
			if err == nil {
				late(result)
			}
		}
	})
	if !begun {
		return result, fmt.Errorf("%s: %w", what, errVolumesEnd)
	}
	timer := time.NewTimer(volumeTimeout)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.result, o.err
	case <-timer.C:
		return result, fmt.Errorf("%s: %w", what, errVolumesSlow)
	case <-ctx.Done():
		return result, fmt.Errorf("%s: %w", what, ctx.Err())
	}
}

// begin runs call, which has a place, unless the end has begun.
func (v *volumes) begin(call func()) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closing {
		<-v.places
		return false
	}
	v.calls.Go(func() {
		defer func() { <-v.places }()
		call()
	})
	return true
}

// do is within for calls that have only an error.
func (v *volumes) do(ctx context.Context, what string, call func() error) error {
	_, err := within(ctx, v, what, func() (struct{}, error) { return struct{}{}, call() }, func(struct{}) {})
	return err
}

func ignore[T any](T) {}

// List is one that requests share.
func (v *volumes) List(ctx context.Context, filter filters.Args) ([]*volumetypes.Volume, []string, error) {
	list, err := v.list(ctx, filter)
	return list.found, list.warnings, err
}

// list makes a list, or waits for one that another request makes: it outlives
// the request that it began with.
func (v *volumes) list(ctx context.Context, filter filters.Args) (list volumeList, err error) {
	key, err := filters.ToJSON(filter)
	if err != nil {
		return list, fmt.Errorf("list volumes: %w", err)
	}
	return within(ctx, v, "list volumes", func() (volumeList, error) {
		return v.lists.get(key, func() (volumeList, error) {
			found, warnings, err := v.VolumesService.List(context.WithoutCancel(ctx), filter)
			return volumeList{plainVolumes(found), plainTexts(warnings)}, err
		})
	}, ignore)
}

// plainVolumes makes plain what a command line shows of volumes: their plugins
// name them.
func plainVolumes(found []*volumetypes.Volume) []*volumetypes.Volume {
	for _, volume := range found {
		volume.Name, volume.Mountpoint = plaintext.Quote(volume.Name), plaintext.Quote(volume.Mountpoint)
	}
	return found
}

func plainTexts(texts []string) []string {
	for i, text := range texts {
		texts[i] = plaintext.Quote(text)
	}
	return texts
}

func (v *volumes) Get(ctx context.Context, name string, options ...opts.GetOption) (*volumetypes.Volume, error) {
	return within(ctx, v, "get "+name, func() (*volumetypes.Volume, error) { return v.VolumesService.Get(ctx, name, options...) }, ignore)
}

func (v *volumes) Create(ctx context.Context, name, driver string, options ...opts.CreateOption) (*volumetypes.Volume, error) {
	return within(ctx, v, "create "+name, func() (*volumetypes.Volume, error) { return v.VolumesService.Create(ctx, name, driver, options...) }, ignore)
}

func (v *volumes) Remove(ctx context.Context, name string, options ...opts.RemoveOption) error {
	return v.do(ctx, "remove "+name, func() error { return v.VolumesService.Remove(ctx, name, options...) })
}

func (v *volumes) Prune(ctx context.Context, filter filters.Args) (*volumetypes.PruneReport, error) {
	return within(ctx, v, "prune volumes", func() (*volumetypes.PruneReport, error) {
		report, err := v.VolumesService.Prune(ctx, filter)
		if report != nil {
			report.VolumesDeleted = plainTexts(report.VolumesDeleted)
		}
		return report, err
	}, ignore)
}

// Mount undoes a mount that comes too late.
func (v *volumes) Mount(ctx context.Context, volume *volumetypes.Volume, reference string) (string, error) {
	return within(ctx, v, "mount "+volume.Name, func() (string, error) { return v.VolumesService.Mount(ctx, volume, reference) }, func(string) {
		_ = v.VolumesService.Unmount(context.WithoutCancel(ctx), volume, reference) // the client has been told of a failure
	})
}

func (v *volumes) Unmount(ctx context.Context, volume *volumetypes.Volume, reference string) error {
	return v.do(ctx, "unmount "+volume.Name, func() error { return v.VolumesService.Unmount(ctx, volume, reference) })
}

func (v *volumes) Release(ctx context.Context, name, reference string) error {
	return v.do(ctx, "release "+name, func() error { return v.VolumesService.Release(ctx, name, reference) })
}

func (v *volumes) LiveRestoreVolume(ctx context.Context, volume *volumetypes.Volume, reference string) error {
	return v.do(ctx, "take over "+volume.Name, func() error { return v.VolumesService.LiveRestoreVolume(ctx, volume, reference) })
}

// Shutdown waits for calls that are under way, for a while: the process ends
// with them.
func (v *volumes) Shutdown() error { return errors.Join(v.drain(), v.VolumesService.Shutdown()) }

func (v *volumes) drain() error {
	v.mu.Lock()
	v.closing = true
	v.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		v.calls.Wait()
		close(ended)
	}()
	timer := time.NewTimer(volumeDrainTimeout)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
		return errors.New("volume plugins do not answer: calls to them are cut off")
	}
}
