// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Unpacker unpacks layers over each other, lowest first, into one directory
// that it never leaves. Its limits bound all layers together. It is not safe
// for concurrent use.
type Unpacker struct {
	tree      *tree
	meter     *meter
	poolDir   string
	closeFile func(fd int)
}

// NewUnpacker returns an unpacker of dir, which must exist and must not be a
// symbolic link. It sets the mode of dir to 0755; a layer can change it. While it
// unpacks several layers, a directory next to dir, with the suffix "-ahead", has
// files of layers before their turn. The caller closes the unpacker.
func NewUnpacker(dir string, limits Limits) (*Unpacker, error) {
	m := newMeter(limits)
	t, err := openTree(dir, m)
	if err != nil {
		return nil, err
	}
	if err := unix.Fchmod(t.root.fd, 0o755); err != nil {
		t.close()
		return nil, &SystemError{Op: "change mode", Entry: dir, Err: err}
	}
	return &Unpacker{tree: t, meter: m, poolDir: dir + "-ahead"}, nil
}

// CloseFilesBy makes the unpacker pass the descriptor of each written file to
// closeFile, which takes ownership, instead of closing it. Nil means close(2).
// closeFile must be safe for concurrent use.
func (u *Unpacker) CloseFilesBy(closeFile func(fd int)) { u.closeFile = closeFile }

// Close closes the unpacker's descriptors. It does not change the directory.
func (u *Unpacker) Close() {
	u.tree.close()
}

func (u *Unpacker) unpack(ctx context.Context, archive entries) error {
	l, err := u.beginLayer(ctx)
	if err != nil {
		return err
	}
	for {
		header, content, err := archive.next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := l.add(header, rootedName(header.Name), content); err != nil {
			return err
		}
	}
	if err := archive.drain(); err != nil {
		return err
	}
	return l.finish()
}

// layer is a layer being unpacked.
type layer struct {
	ctx    context.Context // ends the unpacking; its lifetime is the layer's
	tree   *tree
	meter  *meter
	buffer []byte
	// closeFile may be nil, which means close(2).
	closeFile func(fd int)
	// own are the entries of this layer: an opaque directory hides all others.
	// It is nil for the lowest layer.
	own *places
	// directories are the times that finish sets.
	directories directoryTimes
	keptBytes   int64 // memory of directories
}

func (u *Unpacker) beginLayer(ctx context.Context) (*layer, error) {
	l := &layer{ctx: ctx, tree: u.tree, meter: u.meter, closeFile: u.closeFile, buffer: make([]byte, pumpBlockBytes)}
	lowest, err := isEmpty(u.tree.root.fd)
	if err != nil {
		return nil, &SystemError{Op: "read directory", Entry: "/", Err: err}
	}
	if !lowest {
		l.own = newPlaces()
	}
	return l, nil
}

func isEmpty(fd int) (bool, error) {
	again, err := openConfined(fd, ".")
	if err != nil {
		return false, err
	}
	dir := os.NewFile(uintptr(again), ".")
	defer dir.Close()
	_, err = dir.Readdirnames(1)
	if err == io.EOF {
		return true, nil
	}
	return false, err
}

// add unpacks one entry. The caller has counted it; name is its [rootedName].
func (l *layer) add(header *tar.Header, name string, content io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if name == "" {
		return l.addRoot(header)
	}
	l.tree.closeStale()
	d, base, err := l.tree.parent(name)
	if err != nil {
		return err
	}
	if hidden, ok := whiteout(base); ok {
		return l.hide(d, hidden, header.Name)
	}
	if err := l.write(d, base, name, header, content); err != nil {
		return err
	}
	l.addOwn(d, base)
	return nil
}

// addRoot applies the metadata of the root's own entry. Docker's layers have
// such an entry, and a plugin's other users see the mode of its root. Entries of
// other types are ignored: the root stays a directory.
func (l *layer) addRoot(header *tar.Header) error {
	if header.Typeflag != tar.TypeDir {
		return nil
	}
	if err := checkOwner(header); err != nil {
		return err
	}
	if err := l.meter.attributes(header); err != nil {
		return err
	}
	if err := l.keepTimes("", header); err != nil {
		return err
	}
	return setMetadata(l.tree.root, ".", header)
}
