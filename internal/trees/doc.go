// Package trees walks and deletes directory trees that others made: a plugin
// nests directories as deep as it likes, deeper than any path can name and than
// a process can open files.
//
// Everything is done by descriptors, relative to open directories. A walk and a
// removal hold at most [maxOpen] of them and as little memory, whatever the
// depth, except for directories that the file system does not rename. Neither
// follows a symbolic link nor crosses a mount point; both rest on openat2(2). The
// time is linear in the number of names.
package trees

import (
	"errors"
	"fmt"
)

// maxOpen is how many directories of one tree are open at a time. Trees that
// programs make are rarely deeper.
const maxOpen = 32

// maxDepth is how many levels a walk goes down, some 7 MiB of memory. No honest
// tree has a hundredth of it.
const maxDepth = 1 << 17

// ErrTooDeep reports a tree that nests deeper than a walk goes.
var ErrTooDeep = fmt.Errorf("directories are nested more than %d levels deep", maxDepth)

// ErrMoved reports a walk that ended early because the directory that it was in
// was moved.
var ErrMoved = errors.New("a directory was moved during the walk")
