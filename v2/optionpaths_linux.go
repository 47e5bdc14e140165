package v2

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// lowerLayers are the options of an overlay that name what it only reads, see
// https://docs.kernel.org/filesystems/overlayfs.html.
var lowerLayers = []string{"lowerdir", "lowerdir+", "datadir+"}

// optionSources returns the paths of the host that a mount which is no bind names:
// the device that it mounts, and those in its options. All but the lower layers of an overlay
// count as writable.
func optionSources(mount specs.Mount, follow func(string) *walk) []bindSource {
	var sources []bindSource
	isDevice := mount.Type != "overlay" && mount.Type != "proc" && !slices.Contains(ownFileSystems, mount.Type)
	if isDevice && filepath.IsAbs(mount.Source) {
		sources = append(sources, sourceOf(mount, mount.Source, follow))
	}
	for _, option := range optionPaths(mount.Options) {
		source := sourceOf(mount, option.path, follow)
		source.writable = !slices.Contains(lowerLayers, option.key)
		sources = append(sources, source)
	}
	return sources
}

// optionPath is one absolute path in the options of a mount.
type optionPath struct{ key, path string }

// optionPaths returns the absolute paths in options. Several in one value have
// colons between them. A backslash takes the meaning from what follows it, a comma
// included, at which options were split.
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

// relativeLayer returns an option that names a directory for an overlay to write
// to by a path that depends on where the runtime is.
func relativeLayer(options []string) (option string, ok bool) {
	for _, option := range splitUnescaped(strings.Join(options, ","), ',') {
		key, value, _ := strings.Cut(option, "=")
		if (key == "upperdir" || key == "workdir") && !filepath.IsAbs(unescape(value)) {
			return option, true
		}
	}
	return "", false
}

// mountPointsBelow returns the host's mount points below directory. It asks the
// kernel's list and no file system.
func mountPointsBelow(directory string) []string {
	var points []string
	_, _ = mountinfo.GetMounts(func(info *mountinfo.Info) (skip, stop bool) { // without the list there are no mounts
		if _, ok := below(info.Mountpoint, directory); ok && info.Mountpoint != directory {
			points = append(points, info.Mountpoint)
		}
		return true, false
	})
	return points
}
