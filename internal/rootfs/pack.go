// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// PackLayer writes a directory tree to w as a gzip-compressed layer, and returns the
// digest of the uncompressed layer. It is the layer that [Split] makes of
// [BuildContext]: the same tree gives the same bytes. The tree is not changed, and
// must not change concurrently. Sockets are left out.
//
// Errors: [EntryError] for a tree that no archive holds, or with a mount point;
// [LimitError]; [SystemError] for the host; and those of ctx and w.
func PackLayer(ctx context.Context, dir string, w io.Writer, limits Limits) (digest.Digest, error) {
	m := newMeter(limits)
	layer := newLayerWriter(w, m.limits.Budget)
	defer layer.abandon()
	err := pack(ctx, dir, m, func(header *tar.Header, content io.Reader) error {
		return writeEntry(layer.Writer, header, content)
	})
	if err == nil {
		err = layer.finish()
	}
	if failed := layer.gzip.Err(); failed != nil {
		return "", fmt.Errorf("write layer: %w", failed)
	}
	if err != nil {
		return "", err
	}
	return layer.diffID(), nil
}

// Pack writes a directory tree to w as an uncompressed layer for other hosts: later
// times than latest become latest, unless that is zero, and files of the user who packs
// belong to root. Otherwise it is the layer of [PackLayer], with the same errors.
func Pack(ctx context.Context, dir string, w io.Writer, latest time.Time, limits Limits) error {
	archive := tar.NewWriter(w)
	err := pack(ctx, dir, newMeter(limits), func(header *tar.Header, content io.Reader) error {
		header.Uid, header.Gid = packedID(header.Uid, os.Geteuid()), packedID(header.Gid, os.Getegid())
		if !latest.IsZero() && header.ModTime.After(latest) {
			header.ModTime = latest
		}
		return writeEntry(archive, header, content)
	})
	if err != nil {
		return err
	}
	return archive.Close()
}

// packedID returns the owner of a file in a layer.
func packedID(id, packing int) int {
	if id == packing {
		return 0
	}
	return id
}

func writeEntry(w *tar.Writer, header *tar.Header, content io.Reader) error {
	if err := w.WriteHeader(header); err != nil {
		return &EntryError{Entry: header.Name, Reason: err.Error()}
	}
	if content == nil {
		return nil
	}
	_, err := io.Copy(w, content)
	return err
}

// BuildContext returns a build context of a config and a directory tree, see [Split].
// It is packed as it is read, by a goroutine that ends with ctx, with an error, or when
// the caller closes the context. The errors of the tree are those of [PackLayer].
func BuildContext(ctx context.Context, config []byte, dir string, limits Limits) io.ReadCloser {
	r, w := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = w.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		_ = w.CloseWithError(packContext(ctx, w, config, dir, limits))
	}()
	return r
}

func packContext(ctx context.Context, w io.Writer, config []byte, dir string, limits Limits) error {
	archive := tar.NewWriter(w)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: configName, Mode: 0o600, Size: int64(len(config)), Format: tar.FormatPAX}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if _, err := archive.Write(config); err != nil {
		return err
	}
	err := pack(ctx, dir, newMeter(limits), func(header *tar.Header, content io.Reader) error {
		header.Name = rootfsName + "/" + strings.TrimPrefix(header.Name, "./")
		if header.Typeflag == tar.TypeLink {
			header.Linkname = rootfsName + "/" + header.Linkname
		}
		return writeEntry(archive, header, content)
	})
	if err != nil {
		return err
	}
	return archive.Close()
}
