// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// lowerLayers are the options of an overlay that name read-only layers, see
// https://docs.kernel.org/filesystems/overlayfs.html.
var lowerLayers = []string{"lowerdir", "lowerdir+", "datadir+"}

// optionSources returns the paths of the host that a mount other than a bind
// names: its device, and the paths in its options. A path in an option counts as
// writable, except the lower layers of an overlay.
func (h hostLook) optionSources(mount specs.Mount, canRemount bool) []source {
	var sources []source
	if mount.Type != "overlay" && mount.Type != "proc" && !slices.Contains(ownFileSystems, mount.Type) {
		sources = append(sources, h.fileSystem(mount, canRemount))
	}
	for _, option := range optionPaths(mount.Options) {
		source := h.source(mount, option.path)
		source.writable = !slices.Contains(lowerLayers, option.key)
		sources = append(sources, source)
	}
	return sources
}

// fileSystem returns the source of a mount of a file system: a device, or a name
// that the file system understands.
func (h hostLook) fileSystem(mount specs.Mount, canRemount bool) source {
	named := source{destination: mount.Destination, path: mount.Source}
	if filepath.IsAbs(mount.Source) {
		named = h.source(mount, mount.Source)
	}
	named.mounted = canRemount || isWritable(mount.Options)
	if named.mounted && h.table != nil {
		named.fileSystems = h.table.fileSystems(mount.Type, mount.Source, h.follow)
	}
	return named
}

// optionPath is one absolute path in the options of a mount.
type optionPath struct{ key, path string }

// optionPaths returns the absolute paths in options. A value can hold several,
// separated by colons. A backslash escapes the next character, including a comma
// at which the caller has split the options.
func optionPaths(options []string) []optionPath {
	var paths []optionPath
	for _, option := range splitUnescaped(strings.Join(options, ","), ',') {
		key, value, _ := strings.Cut(option, "=")
		for _, path := range splitUnescaped(value, ':') {
			if path = unescape(path); filepath.IsAbs(path) {
				paths = append(paths, optionPath{key, path})
			}
		}
	}
	return paths
}

func splitUnescaped(text string, separator byte) []string {
	var parts []string
	start := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case separator:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}

func unescape(text string) string {
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		plain.WriteByte(text[i])
	}
	return plain.String()
}

// relativeLayer returns the first option that names a writable directory of an
// overlay by a relative path, which would depend on the runtime's working
// directory.
func relativeLayer(options []string) (option string, ok bool) {
	for _, option := range splitUnescaped(strings.Join(options, ","), ',') {
		key, value, _ := strings.Cut(option, "=")
		if (key == "upperdir" || key == "workdir") && !filepath.IsAbs(unescape(value)) {
			return option, true
		}
	}
	return "", false
}
