package rootfs

import (
	"cmp"
	"io"
)

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
}

const (
	defaultUnpackedBytes    = 32 << 30
	defaultFileBytes        = 16 << 30
	defaultEntries          = 1 << 20
	defaultLayers           = 1000
	defaultCompressionRatio = 1100
	defaultConfigBytes      = 1 << 20

	// ratioFloorShare is the part of UnpackedBytes that an archive may become
	// at any ratio: zeros, of which honest images have many, compress by zstd
	// to a 30,000th, and what is small does no harm.
	ratioFloorShare = 32
)

func (l Limits) withDefaults() Limits {
	return Limits{
		UnpackedBytes:    cmp.Or(l.UnpackedBytes, defaultUnpackedBytes),
		FileBytes:        cmp.Or(l.FileBytes, defaultFileBytes),
		Entries:          cmp.Or(l.Entries, defaultEntries),
		Layers:           cmp.Or(l.Layers, defaultLayers),
		CompressionRatio: cmp.Or(l.CompressionRatio, defaultCompressionRatio),
		ConfigBytes:      cmp.Or(l.ConfigBytes, defaultConfigBytes),
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
	entries int64
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

// reader counts what is read of an archive, its headers included: a header
// may be a mebibyte, and an archive may hold nothing else.
func (m *meter) reader(r io.Reader) io.Reader {
	return &meteredReader{meter: m, source: r}
}

type meteredReader struct {
	meter  *meter
	source io.Reader
}

func (r *meteredReader) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	r.meter.read += int64(n)
	if r.meter.read > r.meter.limits.UnpackedBytes {
		return n, &LimitError{Limit: "UnpackedBytes", Max: r.meter.limits.UnpackedBytes}
	}
	return n, err
}
