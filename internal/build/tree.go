// SPDX-License-Identifier: Apache-2.0

package build

import (
	"archive/tar"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/dovetailhq/plugin/internal/rootfs"
)

// tree is the tree that layers make, as far as checks look at it: no content, and
// nothing at all once it takes too much memory. Its names are paths below the root.
type tree struct {
	root  *node
	layer int
	bytes int64 // memory, roughly
	steps int64 // parts of paths that were looked up
	limit int64 // of bytes
	// isPartial reports that the tree has grown too large.
	isPartial bool
}

// node is a file of a tree.
type node struct {
	kind     byte // a type flag of archive/tar
	mode     int64
	uid, gid int
	link     string           // the target of a symbolic link
	children map[string]*node // of a directory
	program  *program         // of an executable file
	content  []byte           // of a list of users
	layer    int              // the last layer with it
	opaque   int              // the last layer that hid lower children
}

const (
	// maxTreeBytes is more than a million files with ordinary names take.
	maxTreeBytes = 256 << 20
	// maxTreeSteps bounds the work of links that lead to links.
	maxTreeSteps = 1 << 26
	nodeBytes    = 200
	// maxTreeDepth is above PATH_MAX: no path that a kernel takes is as deep.
	maxTreeDepth = 2048
	// maxUsersBytes bounds passwd and group.
	maxUsersBytes = 1 << 20
)

func newTree() *tree { return &tree{root: newDirectory(0), limit: maxTreeBytes} }

// newDirectory returns a directory that no entry describes.
func newDirectory(layer int) *node {
	return &node{kind: tar.TypeDir, mode: 0o755, children: map[string]*node{}, layer: layer}
}

func (t *tree) beginLayer() { t.layer++ }

// Names of whiteouts:
// https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// add adds an entry of the current layer.
func (t *tree) add(e rootfs.Entry) error {
	name := strings.TrimPrefix(path.Clean("/"+e.Name), "/")
	if e.Typeflag == tar.TypeXGlobalHeader || !t.reserve(name, e.Linkname) {
		return nil
	}
	if name == "" {
		t.root.describe(e)
		return nil
	}
	directory, base := path.Split(name)
	parent := t.walk(directory, true).end
	switch {
	case parent == nil:
		return nil // the unpacker refuses it
	case base == opaqueName:
		parent.hideLower(t.layer)
		return nil
	case strings.HasPrefix(base, whiteoutPrefix):
		delete(parent.children, strings.TrimPrefix(base, whiteoutPrefix))
		return nil
	}
	return t.place(parent, name, base, e)
}

// reserve counts the memory of an entry. It returns false once the tree is partial.
func (t *tree) reserve(name, target string) bool {
	t.bytes += int64(len(name) + len(target))
	t.bytes += nodeBytes * int64(1+strings.Count(name, "/"))
	if t.bytes > t.limit || t.steps > maxTreeSteps || strings.Count(name, "/") > maxTreeDepth {
		t.isPartial, t.root = true, newDirectory(0)
	}
	return !t.isPartial
}

// place puts an entry into a directory.
func (t *tree) place(parent *node, name, base string, e rootfs.Entry) error {
	if e.Typeflag == tar.TypeLink {
		if target := t.find(e.Linkname); target != nil && target.kind != tar.TypeDir {
			parent.children[strings.Clone(base)] = target
		}
		return nil
	}
	made := parent.children[base]
	if made == nil || made.kind != tar.TypeDir || e.Typeflag != tar.TypeDir {
		made = &node{}
		parent.children[strings.Clone(base)] = made
	}
	made.layer = t.layer
	made.describe(e)
	if made.kind != tar.TypeReg || e.IsSparse() {
		return nil
	}
	return made.read(name, e)
}

func (n *node) describe(e rootfs.Entry) {
	n.kind, n.mode, n.uid, n.gid = e.Typeflag, e.Mode, e.Uid, e.Gid
	switch e.Typeflag {
	case tar.TypeDir:
		if n.children == nil {
			n.children = map[string]*node{}
		}
	case tar.TypeSymlink:
		n.link = strings.Clone(e.Linkname)
	case tar.TypeGNUSparse:
		n.kind = tar.TypeReg
	}
}

// read reads what checks need of a file's content.
func (n *node) read(name string, e rootfs.Entry) (err error) {
	switch {
	case name == passwdName || name == groupName:
		if n.content, err = io.ReadAll(io.LimitReader(e.Content, maxUsersBytes)); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	case n.mode&0o111 != 0:
		if n.program, err = readProgram(e.Content); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	return nil
}

// hideLower removes the children of lower layers.
func (n *node) hideLower(layer int) {
	if n.opaque == layer {
		return
	}
	n.opaque = layer
	for name, child := range n.children {
		if child.layer < layer {
			delete(n.children, name)
		} else if child.kind == tar.TypeDir {
			child.hideLower(layer)
		}
	}
}

// maxHops bounds the links on one path, as the kernel does:
// https://man7.org/linux/man-pages/man7/path_resolution.7.html
const maxHops = 40

// find returns the file at a path below the root, or nil.
func (t *tree) find(name string) *node { return t.walk(name, false).end }

// route is a walk along a path.
type route struct {
	end *node   // nil if a part is missing, or a file
	way []*node // the directories on the way, and end
}

// walk follows a path below the root, and the links on it. It can make missing
// directories, as the unpacker does.
func (t *tree) walk(name string, makes bool) route {
	r := route{way: []*node{t.root}}
	stack := []*node{t.root}
	rest := strings.Split(name, "/")
	for hops := 0; len(rest) > 0; {
		part, at := rest[0], stack[len(stack)-1]
		rest = rest[1:]
		if t.steps++; t.steps > maxTreeSteps || at.kind != tar.TypeDir {
			return route{}
		}
		switch part {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		next := at.next(part, makes, t.layer)
		if next == nil {
			return route{}
		}
		if next.kind != tar.TypeSymlink {
			stack, r.way = append(stack, next), append(r.way, next)
			continue
		}
		if hops++; hops > maxHops {
			return route{}
		}
		if strings.HasPrefix(next.link, "/") {
			stack = stack[:1]
		}
		rest = append(strings.Split(next.link, "/"), rest...)
	}
	r.end = stack[len(stack)-1]
	return r
}

// next returns a child of a directory, or nil. If it makes directories, the child is
// a link or a directory of the layer.
func (n *node) next(name string, makes bool, layer int) *node {
	child := n.children[name]
	if !makes || child != nil && child.kind == tar.TypeSymlink {
		return child
	}
	if child == nil || child.kind != tar.TypeDir {
		child = newDirectory(layer)
		n.children[strings.Clone(name)] = child
	}
	child.layer = layer
	return child
}
