package rootfs

import (
	"context"
	"errors"
	"hash/maphash"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dovetailhq/plugin/internal/trees"
)

// Marks of deletion, from the OCI image specification's layer.md.
const (
	whiteoutPrefix = ".wh."
	opaqueMark     = ".wh..wh..opq"
)

// places are names in directories, whatever paths led there: of each a hash that
// an archive can't foresee, because there may be a million.
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

// whiteout reports whether base marks a deletion, and the name that it hides:
// empty when that is everything in the directory.
func whiteout(base string) (hidden string, ok bool) {
	if base == opaqueMark {
		return "", true
	}
	hidden, ok = strings.CutPrefix(base, whiteoutPrefix)
	if hidden == "" {
		hidden = "." // not a name, and refused as one
	}
	return hidden, ok
}

// keep remembers that this layer brought an entry.
func (l *layer) keep(d *directory, base string) {
	if l.own != nil {
		l.own.add(d.inode, base)
	}
}

func (l *layer) hide(d *directory, hidden, mark string) error {
	switch hidden {
	case "":
		return l.hideLower(d)
	case ".", "..":
		return &EntryError{Entry: mark, Reason: "it hides nothing that has a name"}
	}
	return l.tree.remove(l.ctx, d, hidden)
}

// emptied is the base that a directory has among the layer's own places once
// nothing of lower layers is in it. No name is empty.
const emptied = ""

// hideLower empties a directory of what lower layers put there. That happens
// once a layer to each directory, however many marks there are.
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
	l.tree.forget()
	return nil
}

// hideEmptied removes a directory of a lower layer, unless something of this
// layer is in it.
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
