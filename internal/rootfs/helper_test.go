// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	"math/rand/v2"
	"path"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	dockererrdefs "github.com/docker/docker/errdefs"
	"gotest.tools/v3/assert"
)

// then is the modification time of test entries.
var then = time.Date(2021, 3, 4, 5, 6, 7, 891000000, time.UTC)

// entry is a header with its content.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: then}, content}
}

func folder(name string) entry {
	return entry{tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: then}, ""}
}

func symlink(name, target string) entry {
	return entry{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: then}, ""}
}

func hardlink(name, target string) entry {
	return entry{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644, ModTime: then}, ""}
}

func device(kind byte, name string, major, minor int64) entry {
	return entry{tar.Header{Typeflag: kind, Name: name, Mode: 0o600, Devmajor: major, Devminor: minor, ModTime: then}, ""}
}

// with returns a copy of the entry with a changed header.
func (e entry) with(change func(*tar.Header)) entry {
	change(&e.Header)
	return e
}

func (e entry) mode(mode int64) entry {
	return e.with(func(h *tar.Header) { h.Mode = mode })
}

func (e entry) xattr(name, value string) entry {
	return e.with(func(h *tar.Header) { h.PAXRecords = map[string]string{xattrRecordName + name: value} })
}

const xattrRecordName = "SCHILY.xattr."

// archive packs entries.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, e := range entries {
		header := e.Header
		if header.Typeflag == tar.TypeReg {
			header.Size = int64(len(e.content))
		}
		header.Format = tar.FormatPAX
		assert.NilError(t, w.WriteHeader(&header), header.Name)
		_, err := w.Write([]byte(e.content))
		assert.NilError(t, err, header.Name)
	}
	assert.NilError(t, w.Close())
	return packed.Bytes()
}

// below puts entries into a directory, hard link targets included.
func below(dir string, entries []entry) []entry {
	moved := make([]entry, len(entries))
	for i, e := range entries {
		isDir := e.Typeflag == tar.TypeDir
		e.Name = path.Join(dir, e.Name)
		if isDir {
			e.Name += "/"
		}
		if e.Typeflag == tar.TypeLink {
			e.Linkname = path.Join(dir, e.Linkname)
		}
		moved[i] = e
	}
	return moved
}

// buildContext packs a plugin with a rootfs of the entries.
func buildContext(t testing.TB, entries ...entry) []byte {
	t.Helper()
	return archive(t, append([]entry{file("config.json", "{}")}, below("rootfs", entries)...)...)
}

// text is n bytes that compress like prose.
func text(random *rand.Rand, n int) string {
	words := make([][]byte, 5000)
	for i := range words {
		words[i] = make([]byte, 3+random.IntN(9))
		for j := range words[i] {
			words[i][j] = byte('a' + random.IntN(26))
		}
		words[i][len(words[i])-1] = ' '
	}
	zipf := rand.NewZipf(random, 1.1, 4, uint64(len(words)-1))
	var b bytes.Buffer
	for b.Len() < n {
		b.Write(words[zipf.Uint64()])
	}
	return string(b.Bytes()[:n])
}

func newRandom(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, seed))
}

// checkInvalid checks the class as docker's and containerd's errdefs see it.
func checkInvalid(t testing.TB, err error) {
	t.Helper()
	assert.Check(t, dockererrdefs.IsInvalidParameter(err), "%v", err)
	assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
}

// failing is a reader that returns err.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
