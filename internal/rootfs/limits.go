// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"cmp"
	"strings"
)

// xattrRecord is the key prefix of PAX records that are extended attributes.
const xattrRecord = "SCHILY.xattr."

// Limits bound what archives may cost their reader. The zero value means the
// defaults, which are far above any legitimate plugin.
type Limits struct {
	// UnpackedBytes bounds the size of all uncompressed archives together, and
	// the total size of their files. The files of layers ahead of their turn, in
	// the pool, have the same bound again. Zero means 32 GiB.
	UnpackedBytes int64
	// FileBytes bounds the size of a single file. Zero means 16 GiB.
	FileBytes int64
	// Entries bounds the entries of all archives together, including
	// directories that are made implicitly. Zero means 1,048,576.
	Entries int64
	// Layers bounds the number of archives. Zero means 1000.
	Layers int64
	// CompressionRatio bounds the uncompressed bytes per compressed byte, of each
	// archive and of all together. An archive that recurs adds its uncompressed
	// bytes again, but its compressed ones only once. The ratio is checked beyond a
	// 32nd of UnpackedBytes. Zero means 1100, which gzip can't exceed but zstd can.
	CompressionRatio int64
	// EntryRatio bounds the entries per KiB of compressed archives: names that
	// recur compress to almost nothing, but each takes as long to make as any
	// other. An archive that recurs adds its entries again, but its KiB only
	// once. The ratio is checked once the archives have more than a 32nd of
	// Entries. Zero means 128, one entry per 8 bytes, which is less than the
	// metadata of files that were not made to compress.
	EntryRatio int64
	// ConfigBytes bounds the config.json of a build context. Zero means 1 MiB.
	ConfigBytes int64
	// HeaderBytes bounds the headers beyond 8 KiB an entry, together with the
	// times of directories, which are kept until the end of an archive and take
	// some 30 bytes each. Zero means 16 MiB.
	HeaderBytes int64
	// PathSteps bounds the path components that are looked up, those of
	// symbolic link targets included. An extended attribute counts as 8
	// components, and each 16 bytes of an entry's headers beyond 1536 count as
	// one. Zero means 8,388,608.
	PathSteps int64
	// Budget is the memory shared with other archives. Nil means a new Budget.
	Budget *Budget
}

const (
	defaultUnpackedBytes    = 32 << 30
	defaultFileBytes        = 16 << 30
	defaultEntries          = 1 << 20
	defaultLayers           = 1000
	defaultCompressionRatio = 1100
	defaultEntryRatio       = 128
	defaultConfigBytes      = 1 << 20
	defaultHeaderBytes      = 16 << 20
	defaultPathSteps        = 1 << 23

	// ratioFloorShare is the share of UnpackedBytes up to which the ratio is not
	// checked. Legitimate images contain many zeros, which zstd compresses to a
	// 30,000th, and small archives do no harm.
	ratioFloorShare = 32
	// entryFloorShare is the share of Entries up to which EntryRatio is not
	// checked. By default 32,768 entries take a few seconds.
	entryFloorShare = 32
)

func (l Limits) withDefaults() Limits {
	if l.Budget == nil {
		l.Budget = NewBudget()
	}
	return Limits{
		UnpackedBytes:    cmp.Or(l.UnpackedBytes, defaultUnpackedBytes),
		FileBytes:        cmp.Or(l.FileBytes, defaultFileBytes),
		Entries:          cmp.Or(l.Entries, defaultEntries),
		Layers:           cmp.Or(l.Layers, defaultLayers),
		CompressionRatio: cmp.Or(l.CompressionRatio, defaultCompressionRatio),
		EntryRatio:       cmp.Or(l.EntryRatio, defaultEntryRatio),
		ConfigBytes:      cmp.Or(l.ConfigBytes, defaultConfigBytes),
		HeaderBytes:      cmp.Or(l.HeaderBytes, defaultHeaderBytes),
		PathSteps:        cmp.Or(l.PathSteps, defaultPathSteps),
		Budget:           l.Budget,
	}
}

// CheckStored returns a [LimitError] for layers that are too many or certain to
// unpack to too many bytes, so that they need not be fetched. Sizes are the
// stored sizes; none is negative.
func (l Limits) CheckStored(sizes []int64) error {
	l = l.withDefaults()
	if int64(len(sizes)) > l.Layers {
		return &LimitError{Limit: "Layers", Max: l.Layers}
	}
	left := l.UnpackedBytes
	for _, size := range sizes {
		if size > left {
			return &LimitError{Limit: "UnpackedBytes", Max: l.UnpackedBytes}
		}
		left -= size
	}
	return nil
}

// meter enforces the limits of archives.
type meter struct {
	limits  Limits
	read    int64 // bytes of uncompressed archives
	files   int64 // bytes of files; sparse files have more than the archive holds
	sparse  int64 // bytes of sparse files
	entries int64
	kept    int64 // header bytes that are kept in memory or exceed ordinaryHeaderBytes
	steps   int64 // path components looked up, and work of equal cost
	// stored returns the compressed bytes read so far. It is nil if the
	// archives are not compressed.
	stored func() int64
}

func newMeter(limits Limits) *meter {
	return &meter{limits: limits.withDefaults()}
}

// entry counts an entry, or a directory that is made for it.
func (m *meter) entry(name string) error {
	m.entries++
	if m.entries > m.limits.Entries {
		return &LimitError{Limit: "Entries", Max: m.limits.Entries, Entry: name}
	}
	if m.entries > m.limits.Entries/entryFloorShare && m.entries/m.limits.EntryRatio > m.storedBytes()>>10 {
		return &LimitError{Limit: "EntryRatio", Max: m.limits.EntryRatio, Entry: name}
	}
	return nil
}

// advance counts bytes of uncompressed archives.
func (m *meter) advance(bytes int64) error {
	m.read += bytes
	if m.read > m.limits.UnpackedBytes {
		return &LimitError{Limit: "UnpackedBytes", Max: m.limits.UnpackedBytes}
	}
	if m.read > m.limits.UnpackedBytes/ratioFloorShare && m.read/m.limits.CompressionRatio > m.storedBytes() {
		return &LimitError{Limit: "CompressionRatio", Max: m.limits.CompressionRatio}
	}
	return nil
}

// keep counts bytes of headers.
func (m *meter) keep(bytes int64) error {
	m.kept += bytes
	if m.kept > m.limits.HeaderBytes {
		return &LimitError{Limit: "HeaderBytes", Max: m.limits.HeaderBytes}
	}
	return nil
}

// step counts path components that are looked up.
func (m *meter) step(name string, parts int) error {
	m.steps += int64(parts)
	if m.steps > m.limits.PathSteps {
		return &LimitError{Limit: "PathSteps", Max: m.limits.PathSteps, Entry: name}
	}
	return nil
}

// file counts the size of a file before its content is written.
func (m *meter) file(name string, size int64) error {
	if size > m.limits.FileBytes {
		return &LimitError{Limit: "FileBytes", Max: m.limits.FileBytes, Entry: name}
	}
	if size > m.limits.UnpackedBytes-m.files {
		return &LimitError{Limit: "UnpackedBytes", Max: m.limits.UnpackedBytes, Entry: name}
	}
	m.files += size
	return nil
}

// expand counts a part of a sparse file, holes included, as output of the
// archive's stored bytes.
func (m *meter) expand(name string, size int) error {
	m.sparse += int64(size)
	if m.sparse > m.limits.UnpackedBytes/ratioFloorShare && m.sparse/m.limits.CompressionRatio > m.storedBytes() {
		return &LimitError{Limit: "CompressionRatio", Max: m.limits.CompressionRatio, Entry: name}
	}
	return nil
}

const (
	// attributeSteps is the cost of setting an extended attribute, in steps. It
	// takes about 4 µs, and the default allows as many attributes as entries.
	attributeSteps = 8
	// headerStepBytes of headers, two or three records of the shortest kind, cost
	// as much to parse and to write as one step.
	headerStepBytes = 16
	// freeHeaderBytes are a header and an extended header of a single block.
	freeHeaderBytes = 3 * 512
)

// attributes counts the extended attributes of an entry.
func (m *meter) attributes(header *tar.Header) error {
	count := 0
	for record := range header.PAXRecords {
		if strings.HasPrefix(record, xattrRecord) {
			count++
		}
	}
	return m.step(header.Name, attributeSteps*count)
}

// begin counts an entry with the bytes of its headers.
func (m *meter) begin(name string, headerBytes int64) error {
	if err := m.step(name, int(max(0, headerBytes-freeHeaderBytes)/headerStepBytes)); err != nil {
		return err
	}
	return m.entry(name)
}

func (m *meter) storedBytes() int64 {
	if m.stored == nil {
		return m.read
	}
	return m.stored()
}
