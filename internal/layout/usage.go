// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"slices"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/trees"
)

// Usage is the disk space of an installed plugin in bytes, without mounts.
type Usage struct {
	Rootfs int64 // its root file system
	Data   int64 // below propagated-mount
	Output int64 // its output files
}

// Usage measures the disk space of a plugin. It can miss files that are made or
// deleted concurrently. With an error, such as [trees.ErrTooDeep], the sizes cover
// the files found until then.
func (r *Root) Usage(ctx context.Context, id string) (Usage, error) {
	rootfs, rootfsErr := trees.Usage(ctx, r.Rootfs(id), false)
	data, dataErr := r.dataUsage(ctx, id)
	output, outputErr := trees.Usage(ctx, r.Output(id), false)
	older, olderErr := trees.Usage(ctx, r.Output(id)+OlderSuffix, false)
	return Usage{Rootfs: rootfs, Data: data, Output: output + older}, errors.Join(rootfsErr, dataErr, outputErr, olderErr)
}

// dataUsage measures the plugin's data. A mount of the directory on itself shows
// the same data; a mount on top of that one shows a directory of the host, which
// does not count.
func (r *Root) dataUsage(ctx context.Context, id string) (int64, error) {
	dir := r.PropagatedMount(id)
	mounts, err := durable.MountsBelow(dir)
	if err != nil {
		return 0, err
	}
	mounts = slices.DeleteFunc(mounts, func(point string) bool { return point != dir })
	if len(mounts) > 1 {
		return 0, nil
	}
	return trees.Usage(ctx, dir, true)
}

// Garbage returns the number of directories that SweepGarbage would delete, and
// their disk space in bytes. It waits for no sweep. In directories nested too deep
// to walk, it counts the files that it reaches.
func (r *Root) Garbage(ctx context.Context) (count int, bytes int64, err error) {
	all, err := r.garbage()
	problems := []error{err}
	for _, one := range all {
		if r.stages.isActive(one.stage) {
			continue
		}
		size, err := trees.Usage(ctx, one.path, false)
		count, bytes = count+1, bytes+size
		if !errors.Is(err, trees.ErrTooDeep) {
			problems = append(problems, err)
		}
	}
	return count, bytes, errors.Join(problems...)
}
