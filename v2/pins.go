package v2

import (
	"context"
	"fmt"
	"maps"
)

// PinDevices remembers which device nodes the paths of the settings lead to now.
// A path that is remembered already stays so until it is set again, or no longer
// is a setting: [Plugin.InitSpec] refuses a node that a plugin can have put in
// its place.
//
// It waits for the file systems of the paths until ctx ends, for some seconds at
// most, with no lock held. The error is the cause of ctx, or [ErrNoAnswer] that
// names the device; then nothing has changed.
func (p *Plugin) PinDevices(ctx context.Context) error {
	view := p.Clone()
	pins, unknown := view.pinnedDevices()
	if len(unknown) > 0 {
		found, err := attend(ctx, hostPatience, func(w *watch) (map[string][]string, error) {
			found := make(map[string][]string)
			for path, name := range unknown {
				w.about(fmt.Sprintf("device %q at %q", name, path))
				found[path] = pinsOf(path, w)
			}
			return found, nil
		})
		if err != nil {
			return err
		}
		maps.Copy(pins, found)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.devicePins = pins
	return nil
}

// pinnedDevices returns what is known about the paths of the settings, nil if
// there are none, and the names of the devices whose paths are not known.
func (p *Plugin) pinnedDevices() (pins map[string][]string, unknown map[string]string) {
	for _, device := range p.PluginObj.Settings.Devices {
		if device.Path == nil || *device.Path == "" {
			continue
		}
		if pins == nil {
			pins, unknown = make(map[string][]string), make(map[string]string)
		}
		if nodes, known := p.devicePins[*device.Path]; known {
			pins[*device.Path] = nodes
		} else {
			unknown[*device.Path] = device.Name
		}
	}
	return pins, unknown
}

// unpin forgets paths that were set, so that the next PinDevices looks at them.
func (p *Plugin) unpinLocked(paths []string) {
	pins := maps.Clone(p.devicePins)
	for _, path := range paths {
		delete(pins, path)
	}
	p.devicePins = pins
}
