// SPDX-License-Identifier: Apache-2.0

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
	"golang.org/x/sync/semaphore"
)

const (
	// volumeTimeout bounds how long a request waits for volume plugins. A
	// plugin that hangs costs 30 s for each call, unless it was enabled with
	// another timeout, or none. A request makes a few calls.
	volumeTimeout = 2 * time.Minute
	// maxVolumeCalls bounds how many calls are in progress, including calls
	// that were given up.
	maxVolumeCalls = 256
	// volumeDrainTimeout bounds how long calls can take to end when plugind
	// ends.
	volumeDrainTimeout = 10 * time.Second
	// maxCreateMemory bounds the options of all creates in progress: those of a
	// client that has left stay in memory until the plugin answers, and no longer
	// count against the server's bound for bodies.
	maxCreateMemory = 64 << 20
	// optionOverhead is how much memory an option takes besides its text.
	optionOverhead = 100
)

// volumes is docker's volume service with a bound for every wait. The service's
// own calls wait for plugins whatever their context does. A call that was given
// up continues, and can still succeed. A volumes is safe for concurrent use.
type volumes struct {
	*service.VolumesService
	places chan struct{} // one item for each call in progress
	memory *semaphore.Weighted
	lists  *lists[volumeList]

	mu      sync.Mutex
	closing bool
	calls   sync.WaitGroup // begun before closing
}

func newVolumes(service *service.VolumesService) *volumes {
	return &volumes{
		VolumesService: service,
		places:         make(chan struct{}, maxVolumeCalls),
		memory:         semaphore.NewWeighted(maxCreateMemory),
		lists:          newLists[volumeList](),
	}
}

var (
	errVolumesBusy = errdefs.Unavailable(errors.New("too many requests are waiting for volume plugins: find the plugin that hangs and disable it by force"))
	errVolumesEnd  = errdefs.Unavailable(errors.New("plugind is shutting down"))
	errVolumesSlow = errdefs.Unavailable(fmt.Errorf("a volume plugin did not answer within %s: check the plugin's logs, or disable it by force", volumeTimeout))
)

// within returns the result of call. op names the operation in errors. It
// fails with an error of class Unavailable after volumeTimeout, and with the
// error of ctx when that ends. late gets the result of a call that succeeds
// after that.
func within[T any](ctx context.Context, v *volumes, op string, call func() (T, error), late func(T)) (result T, err error) {
	select {
	case v.places <- struct{}{}:
	default:
		return result, fmt.Errorf("%s: %w", op, errVolumesBusy)
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
		return result, fmt.Errorf("%s: %w", op, errVolumesEnd)
	}
	timer := time.NewTimer(volumeTimeout)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.result, o.err
	case <-timer.C:
		return result, fmt.Errorf("%s: %w", op, errVolumesSlow)
	case <-ctx.Done():
		return result, fmt.Errorf("%s: %w", op, ctx.Err())
	}
}

// begin runs call, which has taken a place. It reports false, and frees the
// place, if the shutdown has begun.
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

// do is within for calls without a result.
func (v *volumes) do(ctx context.Context, op string, call func() error) error {
	_, err := within(ctx, v, op, func() (struct{}, error) { return struct{}{}, call() }, func(struct{}) {})
	return err
}

func ignore[T any](T) {}

// list makes a list, or waits for the list of another request. A list outlives
// the request that began it.
func (v *volumes) list(ctx context.Context, filter filters.Args) (list volumeList, err error) {
	key, err := filters.ToJSON(filter)
	if err != nil {
		return list, fmt.Errorf("list volumes: %w", err)
	}
	return within(ctx, v, "list volumes", func() (volumeList, error) {
		return v.lists.get(key, func() (volumeList, error) {
			found, warnings, err := v.VolumesService.List(context.WithoutCancel(ctx), filter)
			return volumeList{found, plainTexts(warnings)}, err
		})
	}, ignore)
}

func (v *volumes) Get(ctx context.Context, name string, options ...opts.GetOption) (*volumetypes.Volume, error) {
	return within(ctx, v, "get "+name, func() (*volumetypes.Volume, error) { return v.VolumesService.Get(ctx, name, options...) }, ignore)
}

// Create counts in the memory of creates until the plugin has answered, also after
// its client has left.
func (v *volumes) Create(ctx context.Context, name, driver string, options ...opts.CreateOption) (*volumetypes.Volume, error) {
	return within(ctx, v, "create "+name, func() (*volumetypes.Volume, error) {
		size := int64(len(name)) + sizeOf(options)
		if !v.memory.TryAcquire(size) {
			return nil, fmt.Errorf("create %s: %w", name, errVolumesBusy)
		}
		defer v.memory.Release(size)
		return v.VolumesService.Create(ctx, name, driver, options...)
	}, ignore)
}

// sizeOf returns about how much memory the options of a volume take.
func sizeOf(options []opts.CreateOption) (size int64) {
	var config opts.CreateConfig
	for _, option := range options {
		option(&config)
	}
	for _, values := range []map[string]string{config.Options, config.Labels} {
		for key, value := range values {
			size += optionOverhead + int64(len(key)+len(value))
		}
	}
	return size
}

func (v *volumes) Remove(ctx context.Context, name string, options ...opts.RemoveOption) error {
	return v.do(ctx, "remove "+name, func() error { return v.VolumesService.Remove(ctx, name, options...) })
}

func (v *volumes) Prune(ctx context.Context, filter filters.Args) (*volumetypes.PruneReport, error) {
	return within(ctx, v, "prune volumes", func() (*volumetypes.PruneReport, error) {
		return v.VolumesService.Prune(ctx, filter)
	}, ignore)
}

// Mount mounts a volume, and unmounts it again if that succeeds too late.
func (v *volumes) Mount(ctx context.Context, volume *volumetypes.Volume, reference string) (string, error) {
	return within(ctx, v, "mount "+volume.Name, func() (string, error) { return v.VolumesService.Mount(ctx, volume, reference) }, func(string) {
		_ = v.VolumesService.Unmount(context.WithoutCancel(ctx), volume, reference) // the client has been answered with an error
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

// drain refuses further calls, and waits for the calls in progress until ctx ends.
func (v *volumes) drain(ctx context.Context) error {
	v.mu.Lock()
	v.closing = true
	v.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		v.calls.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return errors.New("volume plugins do not respond: calls to them are cut off")
	}
}
