// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// packLayer packs a directory, and returns the uncompressed layer.
func packLayer(t testing.TB, dir string, limits Limits) ([]byte, error) {
	t.Helper()
	var packed bytes.Buffer
	diffID, err := PackLayer(t.Context(), dir, &packed, limits)
	if err != nil {
		return nil, err
	}
	plain := decompressed(t, packed.Bytes())
	assert.Equal(t, diffID, digest.FromBytes(plain))
	return plain, nil
}

// wholeSeconds are the entries of everything as a directory can have them: without
// whiteouts, times before 1970 and parts of seconds.
func wholeSeconds() []entry {
	var all []entry
	for _, e := range append(everything(), folder("locked").mode(0), symlink("dangling", "nowhere")) {
		if strings.HasPrefix(e.Name, ".wh.") {
			continue
		}
		all = append(all, e.with(func(h *tar.Header) { h.ModTime = then.Truncate(time.Second) }))
	}
	return all
}

// A tree is the same after it was packed and unpacked, from the layer and from the
// build context, and all layers are the same.
func TestPackedTreeIsTheSame(t *testing.T) {
	original := newPlayground(t)
	assert.NilError(t, original.apply(t, Limits{}, archive(t, append(wholeSeconds(), odd("."))...)))
	before := snapshot(t, original.root)

	layer, err := packLayer(t, original.root, Limits{})
	assert.NilError(t, err)
	again, err := packLayer(t, original.root, Limits{})
	assert.NilError(t, err)
	assert.Check(t, bytes.Equal(layer, again), "the same tree gives another layer")
	pulled := newPlayground(t)
	assert.NilError(t, pulled.apply(t, Limits{}, layer))
	assert.DeepEqual(t, snapshot(t, pulled.root), before)
	assert.Equal(t, pulled.ofRoot(t)[:12], original.ofRoot(t)[:12])

	packed := BuildContext(t.Context(), []byte(`{"description": "d"}`), original.root, Limits{})
	data, err := io.ReadAll(packed)
	assert.NilError(t, err)
	created := newPlayground(t)
	parts, ofContext, err := created.split(t, data, Limits{})
	assert.NilError(t, err)
	assert.Equal(t, string(parts.Config), `{"description": "d"}`)
	assert.DeepEqual(t, snapshot(t, created.root), before)
	assert.Check(t, bytes.Equal(decompressed(t, ofContext), layer), "the layer of the context is another one")
	assert.DeepEqual(t, snapshot(t, original.root), before)
	original.checkUntouched(t)
}

func TestPackIsInOrder(t *testing.T) {
	p := newPlayground(t)
	assert.NilError(t, p.apply(t, Limits{}, archive(t, file("b", ""), file("a/z", ""), file("a/c/x", ""), file("a.b", ""))))
	layer, err := packLayer(t, p.root, Limits{})
	assert.NilError(t, err)
	var names []string
	for reader := tar.NewReader(bytes.NewReader(layer)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		assert.NilError(t, err)
		names = append(names, header.Name)
	}
	assert.DeepEqual(t, names, []string{"./", "a/", "a/c/", "a/c/x", "a/z", "a.b", "b"})
}

// Neither a link nor a name in the tree leads out of it, and no special file blocks.
func TestPackStaysInside(t *testing.T) {
	p := newPlayground(t)
	assert.NilError(t, os.Symlink(p.sentinel, filepath.Join(p.root, "out")))
	assert.NilError(t, os.Symlink("/", filepath.Join(p.root, "top")))
	assert.NilError(t, unix.Mkfifo(filepath.Join(p.root, "fifo"), 0o600))
	listener, err := net.Listen("unix", filepath.Join(p.root, "sock"))
	assert.NilError(t, err)
	defer listener.Close()
	layer, err := packLayer(t, p.root, Limits{})
	assert.NilError(t, err)
	unpacked := newPlayground(t)
	assert.NilError(t, unpacked.apply(t, Limits{}, layer))
	assert.Equal(t, len(snapshot(t, unpacked.root)), 3, "the socket is left out")

	link := filepath.Join(t.TempDir(), "link")
	assert.NilError(t, os.Symlink(p.root, link))
	_, err = packLayer(t, link, Limits{})
	assert.ErrorType(t, err, &SystemError{})
}

func TestPackRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		make   func(t *testing.T, dir string)
		limits Limits
		want   string
	}{
		{"whiteout", func(t *testing.T, dir string) {
			assert.NilError(t, os.WriteFile(filepath.Join(dir, ".wh.x"), nil, 0o600))
		}, Limits{}, `".wh.x": has the name of a whiteout`},
		{"mount point", func(t *testing.T, dir string) {
			assert.NilError(t, os.Mkdir(filepath.Join(dir, "m"), 0o700))
			assert.NilError(t, unix.Mount("tmpfs", filepath.Join(dir, "m"), "tmpfs", 0, ""))
			t.Cleanup(func() { assert.Check(t, unix.Unmount(filepath.Join(dir, "m"), 0)) })
		}, Limits{}, `"m": path crosses a mount point`},
		{"many files", func(t *testing.T, dir string) {
			for _, name := range []string{"a", "b"} {
				assert.NilError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
			}
		}, Limits{Entries: 2}, "limit Entries of 2"},
		{"large file", func(t *testing.T, dir string) {
			assert.NilError(t, os.WriteFile(filepath.Join(dir, "a"), nil, 0o600))
			assert.NilError(t, os.Truncate(filepath.Join(dir, "a"), 1<<40))
		}, Limits{}, "limit FileBytes of"},
		{"large tree", func(t *testing.T, dir string) {
			assert.NilError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("12345"), 0o600))
		}, Limits{UnpackedBytes: 4}, "limit UnpackedBytes of 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlayground(t)
			tt.make(t, p.root)
			_, err := packLayer(t, p.root, tt.limits)
			assert.Check(t, is.ErrorContains(err, tt.want))
			checkInvalid(t, err)
		})
	}
	_, err := packLayer(t, filepath.Join(t.TempDir(), "absent"), Limits{})
	assert.ErrorIs(t, err, unix.ENOENT)
	assert.ErrorType(t, err, &SystemError{})
}

func TestPackReturnsErrorsOfItsWriter(t *testing.T) {
	p := newPlayground(t)
	full := errors.New("full")
	_, err := PackLayer(t.Context(), p.root, failingWriter{full}, Limits{})
	assert.ErrorIs(t, err, full)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestPackEndsWithItsContext(t *testing.T) {
	p := newPlayground(t)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	_, err := PackLayer(ctx, p.root, io.Discard, Limits{})
	assert.ErrorIs(t, err, why)

	// A reader that does not read on ends by the context, or by closing.
	ctx, cancel = context.WithCancelCause(t.Context())
	packed := BuildContext(ctx, []byte("{}"), p.root, Limits{})
	cancel(why)
	_, err = io.ReadAll(packed)
	assert.ErrorIs(t, err, why)
	assert.NilError(t, BuildContext(t.Context(), []byte("{}"), p.root, Limits{}).Close())
}

func TestFileThatShrinks(t *testing.T) {
	f := &wholeFile{ctx: t.Context(), source: strings.NewReader("ab"), name: "n", left: 3}
	_, err := io.ReadAll(f)
	assert.Check(t, is.ErrorContains(err, `"n": became shorter while it was read`))
	f = &wholeFile{ctx: t.Context(), source: strings.NewReader("abcd"), name: "n", left: 3}
	data, err := io.ReadAll(f)
	assert.NilError(t, err)
	assert.Equal(t, string(data), "abc")
}

// Two copies of a tree give one layer if their times are bounded, and only then.
func TestPackBoundsTimes(t *testing.T) {
	packed := func(modified, latest time.Time) []byte {
		p := newPlayground(t)
		assert.NilError(t, os.WriteFile(filepath.Join(p.root, "a"), nil, 0o600))
		for _, name := range []string{"a", "."} {
			assert.NilError(t, os.Chtimes(filepath.Join(p.root, name), modified, modified))
		}
		var layer bytes.Buffer
		assert.NilError(t, Pack(t.Context(), p.root, &layer, latest, Limits{}))
		return layer.Bytes()
	}
	latest := then.Add(-time.Hour).Truncate(time.Second)
	one, other := then, then.Add(time.Minute)
	assert.Check(t, bytes.Equal(packed(one, latest), packed(other, latest)))
	assert.Check(t, bytes.Equal(packed(one, time.Time{}), packed(one, time.Time{})))
	assert.Check(t, !bytes.Equal(packed(one, time.Time{}), packed(other, time.Time{})))
	assert.Check(t, !bytes.Equal(packed(latest.Add(-time.Hour), latest), packed(one, latest)), "earlier times are kept")
	assert.Equal(t, packedID(7, 7), 0)
	assert.Equal(t, packedID(8, 7), 8)
}
