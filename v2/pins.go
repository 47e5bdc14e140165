// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// PinGrants pins the current targets of mount sources and device paths, and the
// nodes of the devices. [Plugin.InitSpec] refuses a pinned path that a plugin can
// have redirected since. A pin lasts until its path is set again or is no longer
// used. A device that is not there is pinned by the first call that finds it.
// PinGrants reports whether it added a pin.
//
// It holds no lock while it waits for the file systems of the paths, until ctx
// ends or for a few seconds at most. It returns sources in file systems that do
// not answer as silent, ordered by path, and leaves them to the next call. The
// error is the cause of ctx, or a [NoAnswerError] that names a device; then nothing
// has changed.
func (p *Plugin) PinGrants(ctx context.Context) (added bool, silent []*NoAnswerError, err error) {
	view := p.Clone()
	pinned, unknown := view.pinned()
	var found map[string][]string
	if len(unknown.devices) > 0 {
		if found, err = attend(ctx, hostPatience, unknown.lookAtDevices); err != nil {
			return false, nil, err
		}
	}
	maps.Copy(pinned.devices, found)
	places, silent, err := unknown.followSources(ctx)
	if err != nil {
		return false, nil, err
	}
	maps.Copy(pinned.sources, places)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.devicePins, p.sourcePins = noneIfEmpty(pinned.devices), noneIfEmpty(pinned.sources)
	return len(found)+len(places) > 0, silent, nil
}

// pins are the targets of paths of the host.
type pins struct {
	devices map[string][]string // nodes, by the path of the setting
	sources map[string]string   // places without links, by the path of the mount
}

// unpinned are paths without a pin; the values are device names and destinations.
type unpinned struct{ devices, sources map[string]string }

// pinned returns the pins of the paths in use, and the paths without a pin.
func (p *Plugin) pinned() (pins, unpinned) {
	known := pins{make(map[string][]string), make(map[string]string)}
	unknown := unpinned{make(map[string]string), make(map[string]string)}
	for _, device := range p.PluginObj.Settings.Devices {
		if device.Path == nil || *device.Path == "" {
			continue
		}
		if nodes, ok := p.devicePins[*device.Path]; ok {
			known.devices[*device.Path] = nodes
		} else {
			unknown.devices[*device.Path] = device.Name
		}
	}
	for path, destination := range sourcePaths(p) {
		if place, ok := p.sourcePins[path]; ok {
			known.sources[path] = place
		} else {
			unknown.sources[path] = destination
		}
	}
	return known, unknown
}

// lookAtDevices finds the nodes at the paths.
func (u unpinned) lookAtDevices(w *watch) (map[string][]string, error) {
	found := make(map[string][]string)
	for path, name := range u.devices {
		w.about(fmt.Sprintf("device %q at %q", name, path))
		if nodes := pinsOf(path, w); nodes != nil {
			found[path] = nodes
		}
	}
	return found, nil
}

// followSources follows all sources at the same time.
func (u unpinned) followSources(ctx context.Context) (places map[string]string, silent []*NoAnswerError, err error) {
	paths := slices.Sorted(maps.Keys(u.sources))
	places = make(map[string]string)
	for i, followed := range together(paths, func(path string) (string, error) { return u.followSource(ctx, path) }) {
		var noAnswer *NoAnswerError
		switch {
		case errors.As(followed.err, &noAnswer):
			silent = append(silent, noAnswer)
		case followed.err != nil:
			err = followed.err
		default:
			places[paths[i]] = followed.value
		}
	}
	return places, silent, err
}

func (u unpinned) followSource(ctx context.Context, path string) (place string, err error) {
	return attend(ctx, hostPatience, func(w *watch) (string, error) {
		w.about(fmt.Sprintf("mount at %q with the source %q", u.sources[path], path))
		return leads(path, followSource(w)(path)), nil
	})
}

// followSource returns a function that follows paths as the kernel follows the
// sources of mounts.
func followSource(w *watch) func(path string) *walk {
	budget := maxGrantLookBytes
	return tree{budget: &budget, onLook: w.look, likeRuntime: true}.walk
}

func noneIfEmpty[K comparable, V any](m map[K]V) map[K]V {
	if len(m) == 0 {
		return nil
	}
	return m
}

// unpinLocked removes the pins of paths that were set, so that the next PinGrants
// pins their current targets.
func (p *Plugin) unpinLocked(devices, sources []string) {
	devicePins, sourcePins := maps.Clone(p.devicePins), maps.Clone(p.sourcePins)
	for _, path := range devices {
		delete(devicePins, path)
	}
	for _, path := range sources {
		delete(sourcePins, path)
	}
	p.devicePins, p.sourcePins = devicePins, sourcePins
}
