// SPDX-License-Identifier: Apache-2.0

// Package trees walks and deletes directory trees of untrusted programs. A plugin
// can nest directories deeper than PATH_MAX and deeper than a process can open
// files.
//
// All operations use descriptors, relative to open directories. A walk and a
// removal hold at most [maxOpen] descriptors and little memory, whatever the
// depth, except for directories that the file system does not rename. Neither
// follows symbolic links or crosses mount points; the kernel enforces this
// (https://man7.org/linux/man-pages/man2/openat2.2.html). Their time is linear in
// the number of names.
package trees

import (
	"errors"
	"fmt"
)

// maxOpen is how many directories of one tree are open at a time. Ordinary trees
// are rarely deeper.
const maxOpen = 32

// maxDepth is how many levels a walk goes down, which takes about 7 MiB of
// memory. Legitimate trees have less than a hundredth of it.
const maxDepth = 1 << 17

// ErrTooDeep reports a tree that nests deeper than a walk goes.
var ErrTooDeep = fmt.Errorf("directories are nested more than %d levels deep", maxDepth)

// ErrMoved reports a walk that ended early because its current directory was
// moved.
var ErrMoved = errors.New("a directory was moved during the walk")
