// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
)

// snapshot returns a line for each path below dir, with all that a process can
// observe of it. It leaves out the times of directories that were changed during
// the test.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return err
		}
		if name == "." {
			return nil
		}
		lines[name] = describe(t, path, stat)
		if !isKind(stat.Mode, unix.S_IFDIR) {
			if other, ok := first[stat.Ino]; ok {
				lines[name] += " same as " + other
			} else {
				first[stat.Ino] = name
			}
		}
		return nil
	})
	assert.NilError(t, err)
	return lines
}

func describe(t testing.TB, path string, stat unix.Stat_t) string {
	t.Helper()
	line := fmt.Sprintf("%06o %d:%d", stat.Mode, stat.Uid, stat.Gid)
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		content, err := os.ReadFile(path)
		assert.NilError(t, err)
		line += fmt.Sprintf(" %d bytes %s", len(content), digest.FromBytes(content).Encoded()[:12])
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		assert.NilError(t, err)
		line += " -> " + target
	case unix.S_IFCHR, unix.S_IFBLK:
		line += fmt.Sprintf(" %d,%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
	}
	if modified := time.Unix(stat.Mtim.Unix()); time.Since(modified) > time.Hour {
		line += " " + modified.UTC().Format(time.RFC3339Nano)
	}
	return line + xattrs(t, path)
}

func xattrs(t testing.TB, path string) string {
	t.Helper()
	list := make([]byte, 4096)
	n, err := unix.Llistxattr(path, list)
	assert.NilError(t, err)
	names := strings.FieldsFunc(string(list[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(names)
	var line strings.Builder
	for _, name := range names {
		value := make([]byte, 4096)
		n, err := unix.Lgetxattr(path, name, value)
		assert.NilError(t, err)
		fmt.Fprintf(&line, " %s=%q", name, value[:n])
	}
	return line.String()
}

// playground is a root to unpack into, next to a tree that must not change.
type playground struct {
	root     string
	sentinel string
	before   map[string]string
}

func newPlayground(t testing.TB) *playground {
	t.Helper()
	dir := t.TempDir()
	p := &playground{root: filepath.Join(dir, "root"), sentinel: filepath.Join(dir, "sentinel")}
	assert.NilError(t, os.Mkdir(p.root, 0o700))
	assert.NilError(t, os.MkdirAll(filepath.Join(p.sentinel, "etc"), 0o700))
	for _, name := range []string{"victim", "etc/passwd"} {
		path := filepath.Join(p.sentinel, name)
		assert.NilError(t, os.WriteFile(path, []byte("precious"), 0o600))
		assert.NilError(t, os.Chtimes(path, then, then))
	}
	p.before = snapshot(t, p.sentinel)
	return p
}

// checkUntouched checks that the tree outside the root is unchanged.
func (p *playground) checkUntouched(t testing.TB) {
	t.Helper()
	assert.DeepEqual(t, snapshot(t, p.sentinel), p.before)
	names, err := os.ReadDir(filepath.Dir(p.root))
	assert.NilError(t, err)
	assert.Equal(t, len(names), 2, "something was made next to the root")
}

// apply unpacks layers over each other.
func (p *playground) apply(t testing.TB, limits Limits, layers ...[]byte) error {
	t.Helper()
	u, err := NewUnpacker(p.root, limits)
	assert.NilError(t, err)
	defer u.Close()
	for _, layer := range layers {
		if _, err := u.applyPlain(t.Context(), strings.NewReader(string(layer))); err != nil {
			return err
		}
	}
	return nil
}
