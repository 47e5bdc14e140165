package rootfs

import (
	"archive/tar"
	"cmp"
	"strings"
)

// xattrRecord begins the keys of records that are extended attributes.
const xattrRecord = "SCHILY.xattr."

// Limits bound what archives may cost their reader. The zero value means the
// defaults, which no plugin that was not made for it comes near.
type Limits struct {
	// UnpackedBytes bounds the bytes of all uncompressed archives together,
	// and those of the files in them. Zero means 32 GiB.
	UnpackedBytes int64
	// FileBytes bounds a single file. Zero means 16 GiB.
	FileBytes int64
	// Entries bounds the entries of all archives together, and the
	// directories that are made because an entry lies in them. Zero means
	// 1,048,576.
	Entries int64
	// Layers bounds the archives. Zero means 1000.
	Layers int64
	// CompressionRatio bounds how many bytes one compressed byte may become,
	// counted once an archive has become larger than a 32nd of UnpackedBytes.
	// Zero means 1100, which gzip can't reach and zstd can.
	CompressionRatio int64
	// ConfigBytes bounds the config.json of a build context. Zero means 1 MiB.
	ConfigBytes int64
	// HeaderBytes bounds what headers have beyond 8 KiB an entry, and what is
	// remembered of an archive's directories until its end, some 30 bytes each.
	// Zero means 16 MiB.
	HeaderBytes int64
	// PathSteps counts the parts of names that are looked up, and what symbolic
	// links in them lead through. An extended attribute counts as 8 of them, and
	// each 16 bytes of an entry's headers beyond 1536 as one. Zero means 8,388,608.
	PathSteps int64
	// Budget is shared with other archives. Nil means a budget of their own.
	Budget *Budget
}

const (
	defaultUnpackedBytes    = 32 << 30
	defaultFileBytes        = 16 << 30
	defaultEntries          = 1 << 20
	defaultLayers           = 1000
	defaultCompressionRatio = 1100
	defaultConfigBytes      = 1 << 20
	defaultHeaderBytes      = 16 << 20
	defaultPathSteps        = 1 << 23

	// ratioFloorShare is the part of UnpackedBytes that an archive may become
	// at any ratio: zeros, of which honest images have many, compress by zstd
	// to a 30,000th, and what is small does no harm.
	ratioFloorShare = 32
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
		ConfigBytes:      cmp.Or(l.ConfigBytes, defaultConfigBytes),
		HeaderBytes:      cmp.Or(l.HeaderBytes, defaultHeaderBytes),
		PathSteps:        cmp.Or(l.PathSteps, defaultPathSteps),
		Budget:           l.Budget,
	}
}

// CheckStored refuses, before any of them is fetched, layers that are too many
// or that can't but become too large. The sizes are those that they are stored
// with, and not negative.
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

// meter holds archives to their limits.
type meter struct {
	limits  Limits
	read    int64 // bytes of archives
	files   int64 // bytes of files, which sparse ones have more of than were read
	sparse  int64 // bytes of sparse files
	entries int64
	kept    int64 // bytes of headers that are kept, or were too large to be ordinary
	steps   int64 // parts of names looked up, and what costs as much
	// stored is what the archives were stored with, as far as is known; nil when
	// they were not compressed.
	stored func() int64
}

func newMeter(limits Limits) *meter {
	return &meter{limits: limits.withDefaults()}
}

// entry counts an entry, or a directory that it needs.
func (m *meter) entry(name string) error {
	m.entries++
	if m.entries > m.limits.Entries {
		return &LimitError{Limit: "Entries", Max: m.limits.Entries, Entry: name}
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

// step counts parts of a name that are looked up.
func (m *meter) step(name string, parts int) error {
	m.steps += int64(parts)
	if m.steps > m.limits.PathSteps {
		return &LimitError{Limit: "PathSteps", Max: m.limits.PathSteps, Entry: name}
	}
	return nil
}

// file counts the content of a file before it is written.
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

// expand counts a part of a sparse file: it is what the archive's bytes become,
// whatever of it the archive holds.
func (m *meter) expand(name string, size int) error {
	m.sparse += int64(size)
	if m.sparse > m.limits.UnpackedBytes/ratioFloorShare && m.sparse/m.limits.CompressionRatio > m.storedBytes() {
		return &LimitError{Limit: "CompressionRatio", Max: m.limits.CompressionRatio, Entry: name}
	}
	return nil
}

const (
	// attributeSteps is what setting an extended attribute costs, in steps: some
	// 4 µs, so that the default allows as many attributes as entries.
	attributeSteps = 8
	// headerStepBytes of headers, two or three records of the shortest kind, cost
	// as much as a step to parse and to write again.
	headerStepBytes = 16
	// freeHeaderBytes are a header, and an extended one of a single block.
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

// parsed counts the bytes that the headers of an entry have had.
func (m *meter) parsed(name string, bytes int64) error {
	return m.step(name, int(max(0, bytes-freeHeaderBytes)/headerStepBytes))
}

func (m *meter) storedBytes() int64 {
	if m.stored == nil {
		return m.read
	}
	return m.stored()
}
