package v2

import "maps"

// PinDevices remembers which device nodes the paths of the settings lead to now.
// A path that is remembered already stays so until it is set again, or no longer
// is a setting: [Plugin.InitSpec] refuses a node that a plugin can have put in
// its place.
func (p *Plugin) PinDevices() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var pins map[string][]string
	for _, device := range p.PluginObj.Settings.Devices {
		if device.Path == nil || *device.Path == "" {
			continue
		}
		if pins == nil {
			pins = make(map[string][]string)
		}
		nodes, known := p.devicePins[*device.Path]
		if !known {
			nodes = pinsOf(*device.Path)
		}
		pins[*device.Path] = nodes
	}
	p.devicePins = pins
}

// unpin forgets paths that were set, so that the next PinDevices looks at them.
func (p *Plugin) unpinLocked(paths []string) {
	pins := maps.Clone(p.devicePins)
	for _, path := range paths {
		delete(pins, path)
	}
	p.devicePins = pins
}
