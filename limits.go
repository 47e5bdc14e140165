// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"

	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

// Limits bound what a create, pull or upgrade of one plugin may cost. The zero
// value means the defaults, far above any legitimate plugin. A plugin over a
// limit is refused with a [LimitError] and removed. Creates and Transfers bound
// all plugins together.
type Limits struct {
	// UnpackedBytes bounds the uncompressed archives of one plugin together,
	// and the files in them. An install can take twice as much on disk for a
	// while: files of upper layers wait in a pool next to the rootfs, which has
	// the same bound. Zero means 32 GiB.
	UnpackedBytes int64
	// FileBytes bounds a single file. Zero means 16 GiB.
	FileBytes int64
	// Entries bounds the number of entries in the archives of one plugin: files,
	// directories, links, devices and whiteouts. Zero means 1,048,576.
	Entries int64
	// Layers bounds the number of layers of one plugin. Zero means 1000.
	Layers int64
	// CompressionRatio bounds how many bytes one compressed byte may become, in
	// each archive and in those of one plugin together. A layer that recurs in the
	// manifest adds its uncompressed bytes again, but its compressed ones only once.
	// The ratio is checked beyond a 32nd of UnpackedBytes, by default 1 GiB. Zero
	// means 1100, which gzip can't reach and zstd can.
	CompressionRatio int64
	// EntryRatio bounds how many entries one compressed KiB may hold. An archive
	// that repeats one name compresses to almost nothing, and each entry takes
	// some 50 µs. A layer that recurs in the manifest adds its entries again, but
	// its KiB only once. The ratio is checked once the archives of one plugin
	// have more than a 32nd of Entries, by default 32,768. Zero means 128, one
	// entry per 8 bytes.
	EntryRatio int64
	// HeaderBytes bounds the headers in the archives of one plugin, as far as
	// they exceed 8 KiB an entry, and the memory for the directories of one
	// layer, some 30 bytes each. Zero means 16 MiB.
	HeaderBytes int64
	// PathSteps bounds the number of path components that are looked up to unpack
	// one plugin, those of symbolic links on the way included. An extended
	// attribute counts as 8, and each 16 bytes of an entry's headers beyond 1536
	// as one. Zero means 8,388,608.
	PathSteps int64
	// ManifestBytes bounds the manifest in a registry. Zero means 4 MiB, which
	// is also the maximum.
	ManifestBytes int64
	// ConfigBytes bounds the config, in a registry and in a build context.
	// Zero means 1 MiB.
	ConfigBytes int64
	// Creates bounds how many creates are in progress at a time, and Transfers
	// how many calls of Pull, Push, Upgrade and Privileges. Further calls wait in
	// order, until their context ends. Zero means 12 creates and 16 transfers.
	Creates   int64
	Transfers int64
}

const (
	// defaultCreates lets 12 plugins be built at the same time. A build takes 3 to
	// 5 MiB, most of it for compression, and 4 descriptors, also while its client is
	// silent in the middle. 12 builds take 65 MiB, measured as resident memory.
	// A build whose client has sent nothing takes less than 1 MiB.
	defaultCreates = 12
	// defaultTransfers lets a host install many plugins at the same time. They
	// share the memory for unpacking ahead. Besides, a zstd layer at its turn takes
	// 8 MiB or, one at a time, 128 MiB. A transfer with the largest
	// manifest and a large config takes 6 MB, and 16 hostile transfers take 100 MB.
	// Ordinary manifests and configs have a few kB.
	defaultTransfers = 16
)

// maxManifestBytes is the maximum of the registry client.
const maxManifestBytes = 4 << 20

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
		{"EntryRatio", l.EntryRatio},
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
	if l.ManifestBytes > maxManifestBytes {
		problems = append(problems, fmt.Errorf("Limits.ManifestBytes is more than the maximum: set %d at most", maxManifestBytes))
	}
	return problems
}

// ofArchives returns the limits of unpacking, with a budget of memory that all
// archives share.
func (l Limits) ofArchives(budget *rootfs.Budget) rootfs.Limits {
	return rootfs.Limits{
		UnpackedBytes:    l.UnpackedBytes,
		FileBytes:        l.FileBytes,
		Entries:          l.Entries,
		Layers:           l.Layers,
		CompressionRatio: l.CompressionRatio,
		ConfigBytes:      l.ConfigBytes,
		EntryRatio:       l.EntryRatio,
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
	// plugin, and Max its current value.
	Limit string
	Max   int64
	// Err names the archive or document that exceeds the limit.
	Err error
}

func (e *LimitError) Error() string {
	if e.Limit == "ManifestBytes" && e.Max >= maxManifestBytes {
		return plaintext.Sprintf("%v", e.Err)
	}
	return plaintext.Sprintf("%v (raise ManagerConfig.Limits.%s to allow more)", e.Err, e.Limit)
}

// Unwrap returns Err.
func (e *LimitError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (e *LimitError) InvalidParameter() {}
