package layout

import (
	"context"
	"errors"
	"slices"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/trees"
)

// Usage is what an installed plugin takes of the disk, in bytes, without what
// is mounted into it.
type Usage struct {
	Rootfs int64 // its root file system
	Data   int64 // below propagated-mount
	Output int64 // what it wrote to its output, as far as it is kept
}

// Usage adds up what a plugin takes. What comes and goes meanwhile may be
// missed. Beside an error, [trees.ErrTooDeep] among them, the figures are what
// was found until then.
func (r *Root) Usage(ctx context.Context, id string) (Usage, error) {
	rootfs, rootfsErr := trees.Usage(ctx, r.Rootfs(id), false)
	data, dataErr := r.dataUsage(ctx, id)
	output, outputErr := trees.Usage(ctx, r.Output(id), false)
	older, olderErr := trees.Usage(ctx, r.Output(id)+OlderSuffix, false)
	return Usage{Rootfs: rootfs, Data: data, Output: output + older}, errors.Join(rootfsErr, dataErr, outputErr, olderErr)
}

// dataUsage is of what a plugin keeps, which shows through a mount of the
// directory on itself. A mount on top of that one shows a directory of the host.
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

// Garbage returns how much there is for SweepGarbage to delete, and what it
// takes of the disk, in bytes. It waits for no sweep. Of directories that are
// nested too deep to be walked it counts what it reaches.
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
