package rootfs

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// Unpacker unpacks layers over each other, lowest first, into one directory
// that it never leaves. Its limits bound all layers together. It is not safe
// for concurrent use.
type Unpacker struct {
	tree      *tree
	meter     *meter
	closeFile func(fd int)
}

// NewUnpacker prepares to unpack into dir, which exists, is not a symbolic
// link, and gets mode 0755 until a layer says otherwise. The caller closes the
// unpacker.
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
	return &Unpacker{tree: t, meter: m}, nil
}

// CloseFilesBy makes each file that was written be closed by closeFile, which
// takes the descriptor over. Nil means close(2).
func (u *Unpacker) CloseFilesBy(closeFile func(fd int)) { u.closeFile = closeFile }

// Close releases what the unpacker holds; the directory stays as it is.
func (u *Unpacker) Close() {
	u.tree.close()
}

// Apply unpacks one layer, an uncompressed archive, over what the directory
// holds, and reads stream to its end. After an error, which is of class
// InvalidParameter when the archive is to blame, of class System when the host
// is, and else the stream's own or ctx's, the directory is to be thrown away. It ends with
// ctx, whatever the layer keeps it busy with.
//
// The caller's goroutine reads the stream; see [Decompress].
func (u *Unpacker) Apply(ctx context.Context, stream io.Reader) (Layer, error) {
	hash := sha256.New()
	read := u.meter.read
	err := pump(ctx, stream, hash, func(r io.Reader) error {
		return u.unpack(ctx, r)
	})
	if err != nil {
		return Layer{}, err
	}
	return Layer{
		DiffID: digest.NewDigest(digest.SHA256, hash),
		Bytes:  u.meter.read - read,
	}, nil
}

func (u *Unpacker) unpack(ctx context.Context, stream io.Reader) error {
	l, err := u.beginLayer(ctx)
	if err != nil {
		return err
	}
	archive := u.meter.open(stream)
	for {
		header, err := archive.next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := l.add(header, rootedName(header.Name), archive); err != nil {
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
	ctx    context.Context // of the unpacking, which lasts as long as the layer
	tree   *tree
	meter  *meter
	buffer []byte
	// closeFile is nil when close(2) will do.
	closeFile func(fd int)
	// own is what this layer brought, kept only above other layers: an opaque
	// directory hides everything else.
	own *places
	// directories get their times when all is in them.
	directories directoryTimes
	keptBytes   int64 // that these take
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

// add unpacks one entry, which the caller has counted; name is its
// [rootedName].
func (l *layer) add(header *tar.Header, name string, content io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if name == "" {
		return l.addRoot(header)
	}
	l.tree.next()
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
	l.keep(d, base)
	return nil
}

// addRoot makes the root what its own entry says: docker's layers have one,
// and other programs see the mode of a plugin's root directory. The root stays
// a directory, whatever else an archive calls it.
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
