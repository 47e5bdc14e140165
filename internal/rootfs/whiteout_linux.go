// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"context"
	"errors"
	"hash/maphash"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dovetailhq/plugin/internal/trees"
)

// Whiteouts, see
// https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts
const (
	whiteoutPrefix = ".wh."
	opaqueMark     = ".wh..wh..opq"
)

// places is a set of names in directories, independent of the paths that led
// there. It stores only a hash of each, because there can be a million. The hash
// is seeded, so that an archive can't provoke collisions.
type places struct {
	seed   maphash.Seed
	hashes map[uint64]struct{}
}

type place struct {
	directory uint64
	base      string
}

func newPlaces() *places {
	return &places{seed: maphash.MakeSeed(), hashes: map[uint64]struct{}{}}
}

func (p *places) add(directory uint64, base string) {
	p.hashes[maphash.Comparable(p.seed, place{directory, base})] = struct{}{}
}

func (p *places) has(directory uint64, base string) bool {
	_, ok := p.hashes[maphash.Comparable(p.seed, place{directory, base})]
	return ok
}

// whiteout reports whether base is a whiteout, and returns the name it hides. An
// empty name means everything in the directory.
func whiteout(base string) (hidden string, ok bool) {
	if base == opaqueMark {
		return "", true
	}
	hidden, ok = strings.CutPrefix(base, whiteoutPrefix)
	if hidden == "" {
		hidden = "." // hide refuses it
	}
	return hidden, ok
}

// addOwn records that this layer has an entry.
func (l *layer) addOwn(d *directory, base string) {
	if l.own != nil {
		l.own.add(d.inode, base)
	}
}

func (l *layer) hide(d *directory, hidden, mark string) error {
	switch hidden {
	case "":
		return l.hideLower(d)
	case ".", "..":
		return &EntryError{Entry: mark, Reason: "whiteout does not name an entry"}
	}
	return l.tree.remove(l.ctx, d, hidden)
}

// emptied, as the base of a place, records that a directory has nothing of lower
// layers. It can't collide with a name, because no name is empty.
const emptied = ""

// hideLower removes the entries of lower layers from a directory. Each layer
// does so once per directory, however many opaque marks it has.
func (l *layer) hideLower(d *directory) error {
	if l.own == nil || l.own.has(d.inode, emptied) {
		return nil
	}
	l.own.add(d.inode, emptied)
	err := trees.Walk(l.ctx, d.fd, trees.Visitor{
		File: func(dir trees.Dir, name string) error {
			if l.own.has(dir.Inode, name) {
				return nil
			}
			return unix.Unlinkat(dir.FD, name, 0)
		},
		Enter: func(parent trees.Dir, name string, opened trees.Dir) (bool, error) {
			if l.own.has(opened.Inode, emptied) {
				return false, l.hideEmptied(parent, name)
			}
			l.own.add(opened.Inode, emptied)
			return true, nil
		},
		Leave:   l.hideEmptied,
		Mounted: func(trees.Dir, string) error { return unix.EXDEV },
	})
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	if err != nil {
		return entryError("empty opaque directory", d.name, err)
	}
	l.tree.dropOpen()
	return nil
}

// hideEmptied removes a directory of a lower layer, unless it contains entries
// of this layer.
func (l *layer) hideEmptied(parent trees.Dir, name string) error {
	if l.own.has(parent.Inode, name) {
		return nil
	}
	err := unix.Unlinkat(parent.FD, name, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return err
}
