package layout

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/dovetailhq/plugin/internal/durable"
)

// Usage is what an installed plugin takes of the disk, in bytes, without what
// is mounted into it.
type Usage struct {
	Rootfs int64 // its root file system
	Data   int64 // below propagated-mount
	Output int64 // what it wrote to its output, as far as it is kept
}

// Usage adds up what a plugin takes. What comes and goes meanwhile may be
// missed.
func (r *Root) Usage(id string) (Usage, error) {
	rootfs, rootfsErr := occupied(r.Rootfs(id), "")
	shared := r.PropagatedMount(id)
	data, dataErr := occupied(shared, shared)
	output, outputErr := occupied(r.Output(id), "")
	older, olderErr := occupied(r.Output(id)+OlderSuffix, "")
	return Usage{Rootfs: rootfs, Data: data, Output: output + older}, errors.Join(rootfsErr, dataErr, outputErr, olderErr)
}

// Garbage returns how much there is for SweepGarbage to delete, and what it
// takes of the disk, in bytes.
func (r *Root) Garbage() (count int, bytes int64, err error) {
	err = r.eachGarbage(func(path string) error {
		size, err := occupied(path, "")
		count, bytes = count+1, bytes+size
		return err
	})
	return count, bytes, err
}

// occupied returns what the tree at path takes of its disk; nothing if it is
// not there. It asks nothing of what is mounted below, where an answer may
// never come, but for the mount at own, which shows the tree itself.
func occupied(path, own string) (int64, error) {
	mounts, err := durable.MountsBelow(path)
	if err != nil {
		return 0, err
	}
	foreign := make(map[string]bool, len(mounts))
	for _, mount := range mounts {
		foreign[mount] = mount != own
	}
	var total int64
	counted := map[inode]bool{}
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case foreign[name] && entry != nil && entry.IsDir():
			return fs.SkipDir
		case foreign[name]:
			return nil
		case err == nil:
			total += bytesOf(entry, counted)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return total, err
}

// bytesOf counts a file once, whatever names it has. One that is gone counts
// nothing.
func bytesOf(entry fs.DirEntry, counted map[inode]bool) int64 {
	info, err := entry.Info()
	if err != nil {
		return 0
	}
	bytes, file, linked := allocated(info)
	if !linked {
		return bytes
	}
	if counted[file] {
		return 0
	}
	counted[file] = true
	return bytes
}
