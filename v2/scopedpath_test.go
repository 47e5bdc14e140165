// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testseed"
)

// plant makes a plugin directory and in it what entries say: "dir/", "file" or
// "link -> target", all relative to it.
func plant(t testing.TB, propagated string, entries ...string) (p *Plugin, directory string) {
	t.Helper()
	directory, err := filepath.EvalSymlinks(t.TempDir())
	assert.NilError(t, err)
	for _, entry := range append([]string{"rootfs/", "propagated-mount/"}, entries...) {
		name, target, isLink := strings.Cut(entry, " -> ")
		full := filepath.Join(directory, name)
		assert.NilError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		switch {
		case isLink:
			assert.NilError(t, os.Symlink(target, full))
		case strings.HasSuffix(name, "/"):
			assert.NilError(t, os.MkdirAll(full, 0o755))
		default:
			assert.NilError(t, os.WriteFile(full, nil, 0o644))
		}
	}
	p = &Plugin{Rootfs: filepath.Join(directory, "rootfs")}
	p.PluginObj.Config.PropagatedMount = propagated
	return p, directory
}

func TestScopedPath(t *testing.T) {
	tests := []struct {
		name       string
		propagated string
		entries    []string
		path       string
		want       string // relative to the plugin's directory
	}{
		{"rootfs", "", nil, "/", "rootfs"},
		{"nothing", "", nil, "", "rootfs"},
		{"below rootfs", "", nil, "/a/b", "rootfs/a/b"},
		{"not absolute", "", nil, "a/b", "rootfs/a/b"},
		{"unclean", "", nil, "//a/./b/", "rootfs/a/b"},
		{"dots", "", nil, "/a/../../../../etc", "rootfs/etc"},
		{"dots only", "", nil, "../..", "rootfs"},
		{"dots through what is missing", "", nil, "/missing/../../x", "rootfs/x"},
		{"propagated", "/mnt/volumes", nil, "/mnt/volumes", "propagated-mount"},
		{"below propagated", "/mnt/volumes", nil, "/mnt/volumes/a/b", "propagated-mount/a/b"},
		{"next to propagated", "/mnt/volumes", nil, "/mnt/volumesX/a", "rootfs/mnt/volumesX/a"},
		{"above propagated", "/mnt/volumes", nil, "/mnt", "rootfs/mnt"},
		{"dots out of propagated", "/mnt/volumes", nil, "/mnt/volumes/../x", "rootfs/mnt/x"},
		{"dots into propagated", "/mnt/volumes", nil, "/mnt/x/../volumes/a", "propagated-mount/a"},
		{"unclean propagated", "mnt//volumes/", nil, "/mnt/volumes/a", "propagated-mount/a"},
		{"everything propagated", "/", nil, "/a", "propagated-mount/a"},
		{"absolute link", "", []string{"rootfs/link -> /target"}, "/link/x", "rootfs/target/x"},
		{"relative link", "", []string{"rootfs/a/link -> ../target"}, "/a/link/x", "rootfs/target/x"},
		{"link out of the tree", "", []string{"rootfs/a/link -> ../../../../etc"}, "/a/link/passwd", "rootfs/etc/passwd"},
		{"dots after a link", "", []string{"rootfs/link -> /a/b", "rootfs/a/b/"}, "/link/../x", "rootfs/a/x"},
		{"last element is a link", "", []string{"rootfs/link -> /etc/passwd"}, "/link", "rootfs/etc/passwd"},
		{"link to a link", "", []string{"rootfs/a -> b", "rootfs/b -> c"}, "/a", "rootfs/c"},
		{"below a file", "", []string{"rootfs/file"}, "/file/x", "rootfs/file/x"},
		{"link into propagated", "/mnt/volumes", []string{"rootfs/data -> /mnt/volumes"}, "/data/a", "propagated-mount/a"},
		{"link within propagated", "/mnt/volumes", []string{"propagated-mount/a -> b"}, "/mnt/volumes/a/x", "propagated-mount/b/x"},
		{"absolute link in propagated", "/mnt/volumes", []string{"propagated-mount/a -> /etc"}, "/mnt/volumes/a/x", "rootfs/etc/x"},
		{"link up out of propagated", "/mnt/volumes", []string{"propagated-mount/a -> ../../etc"}, "/mnt/volumes/a/x", "rootfs/etc/x"},
		{"propagated is below a link", "/mnt/volumes", []string{"rootfs/mnt -> /data", "rootfs/data/"}, "/mnt/volumes/a", "propagated-mount/a"},
		{"propagated behind a link, by its real name", "/mnt/volumes", []string{"rootfs/mnt -> /data", "rootfs/data/"}, "/data/volumes/a", "propagated-mount/a"},
		{"hidden under propagated", "/mnt/volumes", []string{"rootfs/mnt/volumes/a -> /etc"}, "/mnt/volumes/a/x", "propagated-mount/a/x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, directory := plant(t, tt.propagated, tt.entries...)
			assert.Equal(t, p.ScopedPath(tt.path), filepath.Join(directory, tt.want))
		})
	}
}

func TestScopedPathOfEndlessLinks(t *testing.T) {
	many := []string{fmt.Sprintf("rootfs/link%d -> /../../../etc", maxLinks)}
	for i := range maxLinks {
		many = append(many, fmt.Sprintf("rootfs/link%d -> link%d", i, i+1))
	}
	tests := []struct {
		name    string
		path    string
		entries []string
	}{
		{"circle", "/a/x", []string{"rootfs/a -> b", "rootfs/b -> a"}},
		{"itself", "/a", []string{"rootfs/a -> a"}},
		{"growing", "/a", []string{"rootfs/a -> a/a"}},
		{"too many", "/link0/passwd", many},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, directory := plant(t, "", tt.entries...)
			path := p.ScopedPath(tt.path)
			assert.Assert(t, strings.HasPrefix(path, filepath.Join(directory, "rootfs")+"/"), path)
			_, err := os.Stat(path)
			assert.Assert(t, errors.Is(err, syscall.ENAMETOOLONG), "%v", err)
		})
	}
}

func TestScopedPathWithoutRootfs(t *testing.T) {
	p := new(Plugin)
	p.PluginObj.Config.PropagatedMount = "/mnt"
	assert.Equal(t, p.ScopedPath("/no-such-directory/../mnt/a"), "/mnt/a")
}

// TestScopedPathNeverLeadsOutside looks at random trees of links and random
// paths. Opening the answer must not follow any link, and a secret next to the
// trees is never found.
func TestScopedPathNeverLeadsOutside(t *testing.T) {
	seed := testseed.Of(t)
	random := rand.New(rand.NewPCG(seed, 0))
	parts := []string{"a", "b", "c", "mnt", "..", "..", "/", "secret"}
	anyPath := func() string {
		var chosen []string
		for range 1 + random.IntN(6) {
			chosen = append(chosen, parts[random.IntN(len(parts))])
		}
		return strings.Join(chosen, "/")
	}
	for range 60 {
		p, directory := plant(t, "/mnt", "secret", "rootfs/a/", "propagated-mount/b/")
		for _, place := range []string{"rootfs/b", "rootfs/a/b", "rootfs/a/c", "propagated-mount/a", "propagated-mount/b/c"} {
			assert.NilError(t, os.Symlink(anyPath(), filepath.Join(directory, place)))
		}
		for range 50 {
			asked := anyPath()
			path := p.ScopedPath(asked)
			_, inRootfs := below(path, filepath.Join(directory, "rootfs"))
			_, inPropagated := below(path, filepath.Join(directory, "propagated-mount"))
			assert.Assert(t, inRootfs || inPropagated, "%q leads to %q", asked, path)
			if real, err := filepath.EvalSymlinks(path); err == nil {
				assert.Equal(t, real, path, "%q leads to a link", asked)
			}
		}
	}
}
