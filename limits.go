package plugin

import (
	"errors"
	"fmt"

	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

// Limits bound what a plugin may cost while it is created, pulled or upgraded.
// The zero value is the defaults, which no plugin that was not made for it
// comes near. What exceeds one is refused with a [LimitError], and nothing is
// left of it. Creates and Transfers bound what all plugins cost together.
type Limits struct {
	// UnpackedBytes bounds the uncompressed archives of one plugin together,
	// and the files in them. Zero means 32 GiB.
	UnpackedBytes int64
	// FileBytes bounds a single file. Zero means 16 GiB.
	FileBytes int64
	// Entries counts what archives of one plugin hold: files, directories,
	// links, devices, marks of deletion. Zero means 1,048,576.
	Entries int64
	// Layers counts the layers of one plugin. Zero means 1000.
	Layers int64
	// CompressionRatio is how many bytes one compressed byte may become. It is
	// asked once an archive has become larger than a 32nd of UnpackedBytes, by
	// default 1 GiB. Zero means 1100, which gzip can't reach and zstd can.
	CompressionRatio int64
	// HeaderBytes bounds what headers in archives of one plugin have beyond 8 KiB
	// an entry, and what is remembered of the directories of one layer, some 30
	// bytes each. Zero means 16 MiB.
	HeaderBytes int64
	// PathSteps counts the parts of names that are looked up to unpack one plugin,
	// and those that symbolic links in them lead through. An extended attribute
	// counts as 8 of them, and each 16 bytes of an entry's headers beyond 1536 as
	// one. Zero means 8,388,608.
	PathSteps int64
	// ManifestBytes bounds the manifest in a registry. Zero means 4 MiB, and
	// it can't be more.
	ManifestBytes int64
	// ConfigBytes bounds the config, in a registry and in a build context.
	// Zero means 1 MiB.
	ConfigBytes int64
	// Creates is how many plugins may be in the making at a time, and Transfers
	// how many pulls, pushes, upgrades and questions for privileges may be in
	// progress at a registry. Further ones are not refused: they wait in order,
	// until their context ends. Zero means 16.
	Creates   int64
	Transfers int64
}

// mostManifestBytes is what the registry client takes.
const mostManifestBytes = 4 << 20

func (l Limits) problems() (problems []error) {
	for _, limit := range []struct {
		name string
		max  int64
	}{
		{"UnpackedBytes", l.UnpackedBytes},
		{"FileBytes", l.FileBytes},
		{"Entries", l.Entries},
		{"Layers", l.Layers},
		{"CompressionRatio", l.CompressionRatio},
		{"HeaderBytes", l.HeaderBytes},
		{"PathSteps", l.PathSteps},
		{"ManifestBytes", l.ManifestBytes},
		{"ConfigBytes", l.ConfigBytes},
		{"Creates", l.Creates},
		{"Transfers", l.Transfers},
	} {
		if limit.max < 0 {
			problems = append(problems, fmt.Errorf("Limits.%s is negative: leave it zero for the default", limit.name))
		}
	}
	if l.ManifestBytes > mostManifestBytes {
		problems = append(problems, fmt.Errorf("Limits.ManifestBytes is more than %d: registries are not asked for more", mostManifestBytes))
	}
	return problems
}

// ofArchives is the part of the limits that unpacking holds to, with a budget of
// memory that all archives share.
func (l Limits) ofArchives(budget *rootfs.Budget) rootfs.Limits {
	return rootfs.Limits{
		UnpackedBytes:    l.UnpackedBytes,
		FileBytes:        l.FileBytes,
		Entries:          l.Entries,
		Layers:           l.Layers,
		CompressionRatio: l.CompressionRatio,
		ConfigBytes:      l.ConfigBytes,
		HeaderBytes:      l.HeaderBytes,
		PathSteps:        l.PathSteps,
		Budget:           budget,
	}
}

func (pm *Manager) archiveLimits() rootfs.Limits { return pm.config.Limits.ofArchives(pm.archives) }

// LimitError refuses a plugin that exceeds one of [ManagerConfig.Limits]. Class
// InvalidParameter.
type LimitError struct {
	// Limit is the field of [Limits] that an operator raises to allow the
	// plugin, and Max the value in force.
	Limit string
	Max   int64
	// Err tells what exceeds it, and where.
	Err error
}

func (e *LimitError) Error() string {
	if e.Limit == "ManifestBytes" && e.Max >= mostManifestBytes {
		return plaintext.Sprintf("%v", e.Err)
	}
	return plaintext.Sprintf("%v (raise ManagerConfig.Limits.%s to allow more)", e.Err, e.Limit)
}

// Unwrap returns what exceeds the limit.
func (e *LimitError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (e *LimitError) InvalidParameter() {}

// asLimit gives err, which may be nil, the type that users know if a limit is
// its cause.
func asLimit(err error) error {
	var archive *rootfs.LimitError
	if errors.As(err, &archive) {
		return &LimitError{Limit: archive.Limit, Max: archive.Max, Err: err}
	}
	var document *remote.TooLargeError
	if errors.As(err, &document) {
		return &LimitError{Limit: document.Limit, Max: document.Max, Err: err}
	}
	return err
}
