// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// split splits a context below p. It also returns the layer.
func (p *playground) split(t testing.TB, buildContext []byte, limits Limits) (Parts, []byte, error) {
	t.Helper()
	var layer bytes.Buffer
	parts, err := Split(t.Context(), bytes.NewReader(buildContext), SplitOptions{Directory: p.root, Layer: &layer, Limits: limits})
	return parts, layer.Bytes(), err
}

func decompressed(t testing.TB, layer []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(layer))
	assert.NilError(t, err)
	assert.Check(t, r.ModTime.IsZero() && r.Name == "", "the layer contains a time stamp or a file name")
	plain, err := io.ReadAll(r)
	assert.NilError(t, err)
	return plain
}

func everything() []entry {
	owned := func(h *tar.Header) { h.Uid, h.Gid, h.Uname = 12, 34, "twelve" }
	return []entry{
		folder("bin").mode(0o1755),
		file("bin/tool", text(newRandom(1), 3<<20)).mode(0o4755).with(owned).xattr("security.capability", capability),
		hardlink("bin/again", "bin/tool").mode(0o4755).with(owned).xattr("security.capability", capability),
		symlink("bin/sh", "../../etc/sh"),
		symlink("bin/abs", "/rootfs/x"),
		device(tar.TypeChar, "null", 1, 3),
		device(tar.TypeFifo, "pipe", 0, 0),
		file("empty", "").mode(0),
		file("rootfs/config.json", "not the config"),
		file(strings.Repeat("long/", 40)+strings.Repeat("n", 200), "x"),
		file("gone", ""),
		file(".wh.gone", "content of a whiteout"),
		file("early", "").with(func(h *tar.Header) { h.ModTime = then.AddDate(-90, 0, 0) }),
		file("huge owner", "").with(func(h *tar.Header) { h.Uid = 1 << 31 }),
	}
}

func TestSplit(t *testing.T) {
	p := newPlayground(t)
	packed := buildContext(t, everything()...)
	parts, layer, err := p.split(t, packed, Limits{})
	assert.NilError(t, err)
	assert.Equal(t, string(parts.Config), "{}")

	plain := decompressed(t, layer)
	assert.Equal(t, parts.DiffID, digest.FromBytes(plain))

	pulled := newPlayground(t)
	assert.NilError(t, pulled.apply(t, Limits{}, plain))
	assert.DeepEqual(t, snapshot(t, p.root), snapshot(t, pulled.root))
	p.checkUntouched(t)
	assert.Equal(t, listing(t, filepath.Join(p.root, "rootfs")), "config.json=not the config")
}

// The headers of the layer are those of the context, except for the prefix
// rootfs/.
func TestSplitKeepsHeaders(t *testing.T) {
	p := newPlayground(t)
	entries := everything()
	_, layer, err := p.split(t, buildContext(t, entries...), Limits{})
	assert.NilError(t, err)
	archive := tar.NewReader(bytes.NewReader(decompressed(t, layer)))
	for _, e := range entries {
		header, err := archive.Next()
		assert.NilError(t, err)
		assert.Equal(t, header.Name, e.Name)
		assert.Equal(t, header.Typeflag, e.Typeflag)
		assert.Equal(t, header.Linkname, e.Linkname)
		assert.Equal(t, header.Mode, e.Mode)
		assert.Equal(t, header.Uid, e.Uid)
		assert.Equal(t, header.Uname, e.Uname)
		assert.Check(t, header.ModTime.Equal(e.ModTime), e.Name)
		assert.Equal(t, header.PAXRecords["SCHILY.xattr.security.capability"], e.PAXRecords["SCHILY.xattr.security.capability"])
		content, err := io.ReadAll(archive)
		assert.NilError(t, err)
		assert.Equal(t, string(content), e.content)
	}
	_, err = archive.Next()
	assert.Equal(t, err, io.EOF)
}

func TestSplitReadsEveryForm(t *testing.T) {
	dotted := below("./", []entry{file("config.json", "{}"), folder("rootfs"), file("rootfs/a", "x"), hardlink("rootfs/b", "rootfs/a")})
	for i := range dotted {
		dotted[i].Name = "./" + dotted[i].Name
		if dotted[i].Linkname != "" {
			dotted[i].Linkname = "./" + dotted[i].Linkname
		}
	}
	tests := []struct {
		name    string
		context []byte
		want    string
	}{
		{"leading dots", archive(t, append([]entry{folder(".")}, dotted...)...), "a=x b=x"},
		{"rootfs not an entry", archive(t, file("rootfs/a", "x"), file("config.json", "{}")), "a=x"},
		{"config last", archive(t, folder("rootfs"), file("rootfs/a", "x"), file("config.json", "{}")), "a=x"},
		{"empty rootfs", archive(t, folder("rootfs"), file("config.json", "{}")), ""},
		{"rootfs twice", archive(t, folder("rootfs"), file("config.json", "{}"), folder("rootfs"), file("rootfs/a", "x")), "a=x"},
		{"others ignored", archive(t, file("README", "x"), folder("src"), symlink("src/rootfs", "/"), file("rootfs.txt", ""), hardlink("l", "README"), folder("rootfs"), file("config.json", "{}")), ""},
		{"global header", archive(t, entry{tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "rootfs/x", PAXRecords: map[string]string{"comment": "x"}}, ""}, folder("rootfs"), file("config.json", "{}")), ""},
		{"parent by symlink", buildContext(t, symlink("lib", "usr/lib"), file("lib/a", "x")), "lib->usr/lib usr/ usr/lib/ usr/lib/a=x"},
		{"no end mark", buildContext(t, file("a", "x"))[:5120], "a=x"},
		{"compressed by gzip", gzipped(t, buildContext(t, file("a", "x"))), "a=x"},
		{"padding", append(buildContext(t, file("a", "x")), make([]byte, 1<<20)...), "a=x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayground(t)
			parts, layer, err := p.split(t, test.context, Limits{})
			assert.NilError(t, err)
			assert.Equal(t, string(parts.Config), "{}")
			assert.Equal(t, listing(t, p.root), test.want)
			pulled := newPlayground(t)
			assert.NilError(t, pulled.apply(t, Limits{}, decompressed(t, layer)))
			assert.Equal(t, listing(t, pulled.root), test.want)
		})
	}
}

func TestSplitRefuses(t *testing.T) {
	config, root := file("config.json", "{}"), folder("rootfs")
	tests := []struct {
		name    string
		context []byte
		want    string
	}{
		{"nothing", nil, "config.json is missing"},
		{"no config", archive(t, root), "config.json is missing"},
		{"no rootfs", archive(t, config), "rootfs is missing"},
		{"rootfs a file", archive(t, config, file("rootfs", "")), "rootfs is not a directory"},
		{"rootfs a symlink", archive(t, config, symlink("rootfs", "/")), "rootfs is not a directory"},
		{"config a symlink", archive(t, symlink("config.json", "/etc/passwd"), root), "config.json is not a regular file"},
		{"config a hard link", archive(t, file("rootfs/x", "{}"), hardlink("config.json", "rootfs/x")), "config.json is not a regular file"},
		{"config a directory", archive(t, folder("config.json"), root), "config.json is not a regular file"},
		{"config twice", archive(t, config, root, file("./config.json", "{}")), "config.json occurs twice"},
		{"config too large", archive(t, file("config.json", strings.Repeat(" ", defaultConfigBytes+1)), root), "ConfigBytes of 1048576 at entry \"config.json\""},
		{"absolute name", archive(t, config, file("/rootfs/x", "")), `"/rootfs/x": name is absolute`},
		{"dot-dot", archive(t, config, file("rootfs/../../x", "")), `"rootfs/../../x": name contains ".."`},
		{"dot-dot inside", archive(t, config, file("rootfs/a/../x", "")), `name contains ".."`},
		{"dot-dot at the top", archive(t, config, root, file("../x", "")), `"../x": name contains ".."`},
		{"hard link to config", archive(t, config, hardlink("rootfs/x", "config.json")), `"rootfs/x": hard link target is outside rootfs`},
		{"hard link to the top", archive(t, config, hardlink("rootfs/x", "../x")), `"rootfs/x": hard link target is outside rootfs`},
		{"hard link to absolute", archive(t, config, hardlink("rootfs/x", "/etc/passwd")), `"rootfs/x": hard link target is outside rootfs`},
		{"hard link to rootfs", archive(t, config, root, hardlink("rootfs/x", "rootfs")), `"rootfs/x": hard link target is outside rootfs`},
		{"hard link to nothing", archive(t, config, hardlink("rootfs/x", "rootfs/y")), `"x": hard link to "y": target does not exist`},
		{"unknown type", archive(t, config, entry{tar.Header{Typeflag: '7', Name: "rootfs/x"}, ""}), `unknown entry type '7'`},
		{"negative owner", archive(t, config, file("rootfs/x", "").with(func(h *tar.Header) { h.Uid = -1 })), `owner -1:0 is out of range`},
		{"gzip", []byte("\x1f\x8b\x08" + strings.Repeat("x", 1000)), "archive is malformed"},
		{"cut", buildContext(t, file("a", strings.Repeat("x", 1<<20)))[:100<<10], "archive is malformed: unexpected EOF"},
		{"cut in config", archive(t, file("config.json", strings.Repeat("x", 5000)))[:3000], "archive is malformed: unexpected EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayground(t)
			parts, _, err := p.split(t, test.context, Limits{})
			assert.Check(t, is.ErrorContains(err, test.want))
			checkInvalid(t, err)
			assert.DeepEqual(t, parts, Parts{})
			p.checkUntouched(t)
		})
	}
}

// Symbolic links of a context are resolved inside its rootfs.
func TestHostileContext(t *testing.T) {
	p := newPlayground(t)
	_, _, err := p.split(t, buildContext(t,
		symlink("out", p.sentinel), file("out/victim", "payload"), folder("out/etc"),
		symlink("up", "../sentinel"), file("up/victim", "payload"), hardlink("x", "out/victim"),
		symlink("file", p.sentinel+"/victim"), file("file", "payload"),
	), Limits{})
	assert.NilError(t, err)
	p.checkUntouched(t)
	content, err := os.ReadFile(filepath.Join(p.root, p.sentinel, "victim"))
	assert.NilError(t, err)
	assert.Equal(t, string(content), "payload")
}

func TestSplitSameBytesEverywhere(t *testing.T) {
	packed := buildContext(t, everything()...)
	_, want, err := newPlayground(t).split(t, packed, Limits{})
	assert.NilError(t, err)
	for _, cores := range []int{1, 3, 40} {
		previous := runtime.GOMAXPROCS(cores)
		_, layer, err := newPlayground(t).split(t, packed, Limits{})
		runtime.GOMAXPROCS(previous)
		assert.NilError(t, err)
		assert.Check(t, bytes.Equal(layer, want), "the layer depends on the number of cores")
	}
}

// Split reports every failure and leaks no goroutine.
func TestSplitFailures(t *testing.T) {
	packed := buildContext(t, file("a", text(newRandom(1), 8<<20)))
	cut := errors.New("connection cut")
	full := errors.New("store is full")
	tests := []struct {
		name  string
		split func(t *testing.T, dir string) error
		want  error
	}{
		{"source", func(t *testing.T, dir string) error {
			source := io.MultiReader(bytes.NewReader(packed[:5<<20]), failing{cut})
			_, err := Split(t.Context(), source, SplitOptions{Directory: dir, Layer: io.Discard})
			return err
		}, cut},
		{"layer at once", func(t *testing.T, dir string) error {
			_, err := Split(t.Context(), bytes.NewReader(packed), SplitOptions{Directory: dir, Layer: &limited{0, full}})
			return err
		}, full},
		{"layer later", func(t *testing.T, dir string) error {
			_, err := Split(t.Context(), bytes.NewReader(packed), SplitOptions{Directory: dir, Layer: &limited{1 << 20, full}})
			return err
		}, full},
		{"layer at its end", func(t *testing.T, dir string) error {
			small := buildContext(t, file("a", ""))
			_, err := Split(t.Context(), bytes.NewReader(small), SplitOptions{Directory: dir, Layer: &limited{100, full}})
			return err
		}, full},
		{"cancelled before", func(t *testing.T, dir string) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := Split(ctx, bytes.NewReader(packed), SplitOptions{Directory: dir, Layer: io.Discard})
			return err
		}, context.Canceled},
		{"cancelled during the split", func(t *testing.T, dir string) error {
			ctx, cancel := context.WithCancel(t.Context())
			source := io.MultiReader(bytes.NewReader(packed[:3<<20]), calling(cancel), bytes.NewReader(packed[3<<20:]))
			_, err := Split(ctx, source, SplitOptions{Directory: dir, Layer: io.Discard})
			return err
		}, context.Canceled},
		{"directory", func(t *testing.T, dir string) error {
			_, err := Split(t.Context(), bytes.NewReader(packed), SplitOptions{Directory: dir + "/missing", Layer: io.Discard})
			return err
		}, unix.ENOENT},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			before := openFiles(t)
			synctest.Test(t, func(t *testing.T) {
				assert.Check(t, is.ErrorIs(test.split(t, dir), test.want))
			})
			assert.Equal(t, openFiles(t), before)
		})
	}
}

// limited is a writer that fails after some bytes.
type limited struct {
	room int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.room {
		return 0, l.err
	}
	l.room -= len(p)
	return len(p), nil
}

// calling is an empty reader that calls a function.
type calling func()

func (c calling) Read([]byte) (int, error) {
	c()
	return 0, io.EOF
}
