//go:build linux

package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/volume"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
	"github.com/dovetailhq/plugin/plugintest"
)

func TestVolumeCallsAreBounded(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name     string
		takes    time.Duration
		fails    error
		leaves   time.Duration // when the client goes; never if zero
		want     error
		waits    time.Duration
		wantLate bool
	}{
		{"answers", time.Second, nil, 0, nil, time.Second, false},
		{"fails", time.Second, broken, 0, broken, time.Second, false},
		{"answers just in time", volumeTimeout - 1, nil, 0, nil, volumeTimeout - 1, false},
		{"answers too late", time.Hour, nil, 0, errVolumesSlow, volumeTimeout, true},
		{"fails too late", time.Hour, broken, 0, errVolumesSlow, volumeTimeout, false},
		{"has no client any more", time.Minute, nil, time.Second, context.Canceled, time.Second, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVolumes(nil)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				if tc.leaves > 0 {
					time.AfterFunc(tc.leaves, leave)
				}
				late := make(chan int, 1)
				began := time.Now()
				got, err := within(ctx, v, "do it", func() (int, error) {
					time.Sleep(tc.takes)
					return 7, tc.fails
				}, func(n int) { late <- n })
				assert.Check(t, is.Equal(time.Since(began), tc.waits))
				assert.Check(t, is.ErrorIs(err, tc.want))
				assert.Check(t, is.Equal(got == 7, err == nil || tc.fails != nil && err == tc.fails))
				v.calls.Wait()
				assert.Check(t, is.Equal(len(late) == 1, tc.wantLate))
				assert.Check(t, is.Len(v.places, 0))
			})
		})
	}
}

// TestVolumeCallsHaveRoom has a plugin hang for as many requests as may wait.
func TestVolumeCallsHaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVolumes(nil)
		answer := make(chan struct{})
		hang := func() error { <-answer; return nil }
		for range maxVolumeCalls {
			go func() { _ = v.do(t.Context(), "do it", hang) }()
		}
		synctest.Wait()
		err := v.do(t.Context(), "do it", hang)
		assert.Check(t, is.ErrorIs(err, errVolumesBusy))
		assert.Check(t, cerrdefs.IsUnavailable(err))

		began := time.Now()
		assert.Check(t, is.ErrorContains(v.drain(), "volume plugins do not answer: calls to them are cut off"))
		assert.Check(t, is.Equal(time.Since(began), volumeDrainTimeout))

		close(answer)
		synctest.Wait()
		assert.Check(t, is.Len(v.places, 0))
		assert.Check(t, is.ErrorIs(v.do(t.Context(), "do it", hang), errVolumesEnd))
		assert.Check(t, is.Len(v.places, 0))
	})
}

func TestVolumesEndWithTheirCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVolumes(nil)
		go func() {
			_ = v.do(t.Context(), "do it", func() error { time.Sleep(time.Second); return nil })
		}()
		synctest.Wait()
		began := time.Now()
		assert.NilError(t, v.drain())
		assert.Equal(t, time.Since(began), time.Second)
	})
}

// TestVolumesOfAHostilePlugin lists volumes with hostile names, and asks for
// one, whose error repeats its name.
func TestVolumesOfAHostilePlugin(t *testing.T) {
	h := newHouse(t)
	docker, stop := h.start(t)
	defer stop()
	createPlugin(t, docker, "example/volume")
	assert.NilError(t, docker.PluginEnable(t.Context(), "example/volume", types.PluginEnableOptions{}))
	name := strings.ToValidUTF8(plaintexttest.Hostile, "") // as JSON has it
	h.driver.volumes[name] = 0

	list, err := docker.VolumeList(t.Context(), volume.ListOptions{})
	assert.NilError(t, err)
	assert.Assert(t, is.Len(list.Volumes, 1))
	assert.Check(t, is.Equal(list.Volumes[0].Name, plaintext.Quote(name)))

	_, err = docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: "data", Driver: "example/volume", DriverOpts: map[string]string{"fail": name}})
	assert.Check(t, is.ErrorContains(err, plaintext.Lines(name[:10])))
	assert.Check(t, !strings.ContainsAny(err.Error(), "\x1b\a\b\x7f"), "%q", err)
}

// TestVolumesBesideAPluginThatIsDown has one of two volume plugins exit, and
// not start again: it is unavailable, and the other's volumes are not.
func TestVolumesBesideAPluginThatIsDown(t *testing.T) {
	h := newHouse(t)
	h.executor.Choose = func(_ string, attempt int, spec specs.Spec) plugintest.Behaviour {
		behaviour := h.executor.Behaviour
		if attempt > 0 && slices.Contains(spec.Process.Args, "down") {
			behaviour.CreateError = errors.New("no")
		}
		return behaviour
	}
	docker, stop := h.start(t)
	defer stop()
	for _, name := range []string{"up", "down"} {
		config := plugintest.Config("docker.volumedriver/1.0")
		config.Entrypoint = append(config.Entrypoint, name)
		buildContext := plugintest.BuildContext(config, map[string]string{"data/file": name})
		assert.NilError(t, docker.PluginCreate(t.Context(), buildContext, types.PluginCreateOptions{RepoName: name}))
		assert.NilError(t, docker.PluginEnable(t.Context(), name, types.PluginEnableOptions{}))
	}
	_, err := docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: "data", Driver: "up"})
	assert.NilError(t, err)
	down, _, err := docker.PluginInspectWithRaw(t.Context(), "down")
	assert.NilError(t, err)
	assert.NilError(t, h.executor.Exit(down.ID, 3))

	began := time.Now()
	_, err = docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: "more", Driver: "down"})
	assert.Check(t, is.ErrorContains(err, "plugin down:latest is enabled but not available"))
	list, err := docker.VolumeList(t.Context(), volume.ListOptions{})
	assert.NilError(t, err)
	assert.Assert(t, is.Len(list.Volumes, 1))
	assert.Check(t, is.Equal(list.Volumes[0].Name, "data"))
	assert.Check(t, time.Since(began) < 10*time.Second, "%s", time.Since(began)) // docker takes a minute
}
