// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/volume/service/opts"
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
		leaves   time.Duration // when the client disconnects; zero is never
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

// TestVolumeCallsHaveRoom makes a plugin hang for as many requests as can wait.
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
		assert.Check(t, errdefs.IsUnavailable(err))

		began := time.Now()
		ending, cancel := context.WithTimeout(t.Context(), volumeDrainTimeout)
		defer cancel()
		assert.Check(t, is.ErrorContains(v.drain(ending), "volume plugins do not respond: calls to them are cut off"))
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
		assert.NilError(t, v.drain(t.Context()))
		assert.Equal(t, time.Since(began), time.Second)
	})
}

// TestVolumesOfAHostilePlugin lists volumes with hostile names, and gets one in
// an error that repeats its name.
func TestVolumesOfAHostilePlugin(t *testing.T) {
	h := newHouse(t)
	docker, stop := h.start(t)
	defer stop()
	createPlugin(t, docker, "example/volume")
	assert.NilError(t, docker.PluginEnable(t.Context(), "example/volume", types.PluginEnableOptions{}))
	name := strings.ToValidUTF8(plaintexttest.Hostile, "") // as JSON encodes it
	h.driver.volumes[name] = 0

	list, err := docker.VolumeList(t.Context(), volume.ListOptions{})
	assert.NilError(t, err)
	assert.Assert(t, is.Len(list.Volumes, 1))
	assert.Check(t, is.Equal(list.Volumes[0].Name, plaintext.Quote(name)))

	_, err = docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: "data", Driver: "example/volume", DriverOpts: map[string]string{"fail": name}})
	assert.Check(t, is.ErrorContains(err, plaintext.Lines(name[:10])))
	assert.Check(t, !strings.ContainsAny(err.Error(), "\x1b\a\b\x7f"), "%q", err)
}

// TestOneVolumeOfAHostilePlugin creates, gets and mounts a volume of a plugin that
// puts hostile text everywhere.
func TestOneVolumeOfAHostilePlugin(t *testing.T) {
	h := newHouse(t)
	docker, stop := h.start(t)
	defer stop()
	createPlugin(t, docker, "example/volume")
	assert.NilError(t, docker.PluginEnable(t.Context(), "example/volume", types.PluginEnableOptions{}))
	// As JSON encodes it, without newlines, which no route matches, and with an end
	// that docker's client does not trim.
	hostile := strings.ReplaceAll(strings.ToValidUTF8(plaintexttest.Hostile, ""), "\n", "") + "."
	plain := plaintext.Quote(hostile)
	h.driver.mu.Lock()
	h.driver.hostile = hostile
	h.driver.volumes["data"] = 0
	h.driver.mu.Unlock()

	inner := map[string]any{"key" + plain: "value" + plain}
	status := map[string]any{"status" + plain: []any{"item" + plain, inner, 7.0}, "inner": inner}
	created, err := docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: "data", Driver: "example/volume"})
	assert.NilError(t, err)
	got, err := docker.VolumeInspect(t.Context(), "data")
	assert.NilError(t, err)
	assert.Check(t, is.DeepEqual(got.Status, status))
	for _, v := range []volume.Volume{created, got} {
		assert.Check(t, is.Equal(v.Name, "data"+plain))
		assert.Check(t, is.Equal(v.Mountpoint, "/data"+plain))
		assert.Check(t, plaintext.Is(v.Driver+v.Scope+v.CreatedAt), "%v", v)
	}

	own := "own" + hostile
	created, err = docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: own, Driver: "example/volume"})
	assert.NilError(t, err)
	assert.Check(t, is.Equal(created.Name, own), "a client can't use the name that it chose")
	assert.NilError(t, docker.VolumeRemove(t.Context(), own, false))
}

// TestEventsOfVolumesArePlain records a volume with a hostile name.
func TestEventsOfVolumesArePlain(t *testing.T) {
	j := newJournal()
	j.LogVolumeEvent(plaintexttest.Hostile, events.ActionMount, map[string]string{"id": plaintexttest.Hostile})
	found, _, _, _ := j.since(0)
	assert.Assert(t, is.Len(found, 1))
	assert.Check(t, is.Equal(found[0].Actor.ID, plaintext.Quote(plaintexttest.Hostile)))
	assert.Check(t, is.Equal(found[0].Actor.Attributes["id"], plaintext.Quote(plaintexttest.Hostile)))
}

// TestLongTextsOfAPlugin measures what texts of 8 MiB cost, in which each character
// is escaped.
func TestLongTextsOfAPlugin(t *testing.T) {
	h := newHouse(t)
	docker, stop := h.start(t)
	defer stop()
	createPlugin(t, docker, "example/volume")
	assert.NilError(t, docker.PluginEnable(t.Context(), "example/volume", types.PluginEnableOptions{}))
	name := strings.Repeat("\x7f", 8<<20-100)
	h.driver.mu.Lock()
	h.driver.volumes[name] = 0
	h.driver.mu.Unlock()
	var list volume.ListResponse
	took := allocated(func() {
		var err error
		list, err = docker.VolumeList(t.Context(), volume.ListOptions{})
		assert.NilError(t, err)
	})
	assert.Check(t, is.Len(list.Volumes, 0))
	assert.Check(t, is.Contains(strings.Join(list.Warnings, " "), "has a name or a mountpoint of more than 4096 bytes"))
	assert.Check(t, took < 160<<20, "a list took %d MiB", took>>20)

	took = allocated(func() {
		_, err := docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: "data", Driver: "example/volume", DriverOpts: map[string]string{"fail long": ""}})
		assert.Check(t, is.ErrorContains(err, "the plugin's answer is too long"))
	})
	assert.Check(t, took < 160<<20, "an error took %d MiB", took>>20)
}

// allocated returns how many bytes this process allocates during call.
func allocated(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestCreatesHaveMemory refuses a volume with many labels while other creates take
// the memory.
func TestCreatesHaveMemory(t *testing.T) {
	large := make(map[string]string)
	for i := range 64 << 10 {
		large[strconv.Itoa(i)] = ""
	}
	size := sizeOf([]opts.CreateOption{opts.WithCreateLabels(large)})
	assert.Check(t, size > 64<<10*optionOverhead && size < 8<<20, "%d", size)
	m := newTestMounts(t)
	v := m.volumes
	assert.Check(t, v.memory.TryAcquire(maxCreateMemory-size+1))
	_, err := v.Create(t.Context(), "more", "local", opts.WithCreateLabels(large))
	assert.Check(t, is.ErrorIs(err, errVolumesBusy))
	_, err = v.Create(t.Context(), "more", "local")
	assert.NilError(t, err)
	v.memory.Release(maxCreateMemory - size + 1)
	assert.Check(t, v.memory.TryAcquire(maxCreateMemory), "memory was not given back")
}

// TestVolumesNextToAPluginThatIsDown ends one of two volume plugins for good.
// It is unavailable; the volumes of the other plugin are not.
func TestVolumesNextToAPluginThatIsDown(t *testing.T) {
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
