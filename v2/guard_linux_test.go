// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// mountAt mounts source at a directory that it makes, until the test ends.
func mountAt(t *testing.T, source, target, kind string, flags uintptr) {
	t.Helper()
	testenv.NeedsRoot(t, "mounting")
	assert.NilError(t, os.MkdirAll(target, 0o755))
	assert.NilError(t, unix.Mount(source, target, kind, flags, ""))
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

// diskAt mounts a new ext4 of a loop device at a directory, and returns the device.
func diskAt(t *testing.T, image, target string) (device string) {
	t.Helper()
	testenv.NeedsRoot(t, "loop devices")
	assert.NilError(t, os.WriteFile(image, nil, 0o600))
	assert.NilError(t, os.Truncate(image, 4<<20))
	if output, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		testenv.Skip(t, fmt.Sprintf("mkfs.ext4: %v: %s", err, output))
	}
	output, err := exec.Command("losetup", "-f", "--show", image).Output()
	if err != nil {
		testenv.Skip(t, fmt.Sprintf("losetup: %v", err))
	}
	device = strings.TrimSpace(string(output))
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", device).Run() })
	mountAt(t, device, target, "ext4", 0)
	return device
}

// TestAliasesOfWritableDirectories lets a plugin write to a directory under one
// name, and another plugin, or the same one, name a link in it by another name.
func TestAliasesOfWritableDirectories(t *testing.T) {
	for _, tc := range []struct {
		name string
		// prepare returns the mount of the writer, and the directory of the victim.
		prepare func(t *testing.T, host string) (written types.PluginMount, directory string)
		after   func(t *testing.T, host string) // after the writer's run
		apart   bool                            // the writer can't write to the directory
	}{
		{name: "the same name", prepare: func(_ *testing.T, h string) (types.PluginMount, string) {
			return bind("w", h+"/data", "/w"), h + "/data"
		}},
		{name: "a bind mount, which the writer has", prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			mountAt(t, h+"/data", h+"/alias", "", unix.MS_BIND)
			return bind("w", h+"/alias", "/w"), h + "/data"
		}},
		{name: "a bind mount, which the victim names", prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			mountAt(t, h+"/data", h+"/alias", "", unix.MS_BIND)
			return bind("w", h+"/data", "/w"), h + "/alias"
		}},
		{name: "a bind mount of a directory above", prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			mountAt(t, h, h+"/elsewhere/host", "", unix.MS_BIND)
			return bind("w", h+"/elsewhere/host/data", "/w"), h + "/data"
		}},
		{name: "a bind mount of a directory below", prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			mountAt(t, h+"/data/sub", h+"/alias", "", unix.MS_BIND)
			return bind("w", h+"/data", "/w"), h + "/alias"
		}},
		{name: "a bind mount below the writer's source", prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			mountAt(t, h+"/data", h+"/elsewhere/alias", "", unix.MS_BIND)
			written := bind("w", h+"/elsewhere", "/w")
			written.Options = []string{"rbind"}
			return written, h + "/data"
		}},
		{name: "a bind mount that is gone after the run", prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			mountAt(t, h+"/data", h+"/alias", "", unix.MS_BIND)
			return bind("w", h+"/alias", "/w"), h + "/data"
		}, after: func(t *testing.T, h string) { assert.NilError(t, unix.Unmount(h+"/alias", 0)) }},
		{name: "a bind mount that is made after the run", prepare: func(_ *testing.T, h string) (types.PluginMount, string) {
			return bind("w", h+"/data", "/w"), h + "/alias"
		}, after: func(t *testing.T, h string) { mountAt(t, h+"/data", h+"/alias", "", unix.MS_BIND) }},
		{name: "the root directory of a process, which the writer has", prepare: func(_ *testing.T, h string) (types.PluginMount, string) {
			return bind("w", "/proc/self/root"+h+"/data", "/w"), h + "/data"
		}},
		{name: "the root directory of a process, which the victim names", prepare: func(_ *testing.T, h string) (types.PluginMount, string) {
			return bind("w", h+"/data", "/w"), "/proc/self/root" + h + "/data"
		}},
		{name: "the device of a file system", prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			device := diskAt(t, h+"/image", h+"/disk")
			return types.PluginMount{Name: "w", Type: "ext4", Source: &device, Destination: "/w"}, h + "/disk"
		}},
		{name: "the device of a file system that is mounted after the run", prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			device := diskAt(t, h+"/image", h+"/disk")
			assert.NilError(t, os.Symlink(device, h+"/device"))
			assert.NilError(t, unix.Unmount(h+"/disk", 0))
			return types.PluginMount{Name: "w", Type: "ext4", Source: &device, Destination: "/w"}, h + "/disk"
		}, after: func(t *testing.T, h string) { mountAt(t, h+"/device", h+"/disk", "ext4", 0) }},
		{name: "a directory with a bind mount of the host's root below", apart: true, prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			mountAt(t, "/", h+"/elsewhere/host", "", unix.MS_BIND)
			written := bind("w", h+"/elsewhere", "/w")
			written.Options = []string{"rbind"}
			return written, h + "/data"
		}},
		{name: "the device of a file system, read only", apart: true, prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			device := diskAt(t, h+"/image", h+"/disk")
			return types.PluginMount{Name: "w", Type: "ext4", Source: &device, Destination: "/w", Options: []string{"ro"}}, h + "/disk"
		}},
		{name: "the device of another file system", apart: true, prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			device := diskAt(t, h+"/image", h+"/disk")
			return types.PluginMount{Name: "w", Type: "ext4", Source: &device, Destination: "/w"}, h + "/data"
		}},
		{name: "a directory of the same path in another file system", apart: true, prepare: func(t *testing.T, h string) (types.PluginMount, string) {
			diskAt(t, h+"/image", h+"/disk")
			diskAt(t, h+"/image2", h+"/disk2")
			assert.NilError(t, os.MkdirAll(h+"/disk/a", 0o755))
			assert.NilError(t, os.MkdirAll(h+"/disk2/a", 0o755))
			return bind("w", h+"/disk2/a", "/w"), h + "/disk/a"
		}},
	} {
		for _, relation := range []string{"the same plugin", "another plugin", "a removed plugin"} {
			t.Run(tc.name+", "+relation, func(t *testing.T) {
				host := t.TempDir()
				for _, name := range []string{"data/sub", "alias", "elsewhere", "secret"} {
					assert.NilError(t, os.MkdirAll(filepath.Join(host, name), 0o755))
				}
				written, directory := tc.prepare(t, host)
				victim := granted(t, bind("s", directory+"/x", "/s"))
				writer := granted(t, written)
				if relation == "the same plugin" {
					victim = granted(t, bind("s", directory+"/x", "/s"), written)
				}
				pin(t, victim)
				expose(writer, victim, relation == "another plugin")
				if tc.after != nil {
					tc.after(t, host)
				}
				_, err := victim.InitSpec(t.TempDir())
				assert.NilError(t, err, "before there is a link")
				assert.NilError(t, os.Symlink(host+"/secret", filepath.Join(directory, "x")))

				_, err = victim.InitSpec(t.TempDir())
				if tc.apart {
					assert.NilError(t, err)
					return
				}
				var changed *ChangedGrantError
				assert.Assert(t, errors.As(err, &changed), "%v", err)
				assert.Check(t, is.Equal(filepath.Base(changed.Link), "x"))
			})
		}
	}
}

// readOnlyAt mounts a directory read-only at another one, until the test ends.
func readOnlyAt(t *testing.T, source, target string) {
	t.Helper()
	mountAt(t, source, target, "", unix.MS_BIND)
	assert.NilError(t, unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
}

// TestTargetsThatTheHostHasReadOnly links to a directory that the plugin has already,
// but by a mount of the host that is read-only. By the link it could write there.
func TestTargetsThatTheHostHasReadOnly(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, host string) []types.PluginMount // data is writable
	}{
		{"below a writable directory", func(t *testing.T, h string) []types.PluginMount {
			readOnlyAt(t, h+"/secret", h+"/data/sub")
			return nil
		}},
		{"the host's root, below a writable directory", func(t *testing.T, h string) []types.PluginMount {
			readOnlyAt(t, "/", h+"/data/sub")
			return nil
		}},
		{"in another mount of the plugin", func(t *testing.T, h string) []types.PluginMount {
			readOnlyAt(t, h+"/secret", h+"/alias")
			return []types.PluginMount{bind("alias", h+"/alias", "/alias")}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			host := t.TempDir()
			for _, name := range []string{"data/sub", "alias", "secret"} {
				assert.NilError(t, os.MkdirAll(filepath.Join(host, name), 0o755))
			}
			data := bind("data", host+"/data", "/data")
			data.Options = []string{"rbind"}
			p := granted(t, append(tc.prepare(t, host), data, bind("s", host+"/data/x", "/s"))...)
			pin(t, p)
			assert.NilError(t, os.Symlink(host+"/secret", host+"/data/x"))
			_, err := p.InitSpec(t.TempDir())
			var changed *ChangedGrantError
			assert.Assert(t, errors.As(err, &changed), "%v", err)
			assert.Check(t, is.Equal(changed.Found, host+"/secret"))
		})
	}
}

// TestExposuresBelowAReadOnlyBind has a writable mount of the host below, and the host's
// root, read-only.
func TestExposuresBelowAReadOnlyBind(t *testing.T) {
	host := t.TempDir()
	assert.NilError(t, os.MkdirAll(host+"/data", 0o755))
	mountAt(t, host+"/data", host+"/all/data", "", unix.MS_BIND)
	readOnlyAt(t, "/", host+"/all/root")
	all := bind("all", host+"/all", "/all")
	all.Options = []string{"rbind", "ro"}
	var directories []string
	for _, exposure := range granted(t, all).Exposures() {
		directories = append(directories, exposure.Directory)
	}
	assert.Check(t, is.DeepEqual(directories, []string{host + "/all/data"}))
}

// expose lets the victim know where the writer, which may be installed, could write,
// as a manager does.
func expose(writer, victim *Plugin, installed bool) {
	var exposed Exposed
	for _, exposure := range writer.Exposures() {
		exposed.Ever = append(exposed.Ever, exposure.Directory)
	}
	if installed {
		exposed.Now = exposed.Ever
	}
	victim.SetExposed(func() Exposed { return exposed })
}

// TestNameResolutionThatAPluginCanRedirect gives the files of name resolution to a
// plugin, on a host that has them through links.
func TestNameResolutionThatAPluginCanRedirect(t *testing.T) {
	stub := "run/resolve/stub.conf"
	for _, tc := range []struct {
		name     string
		mounts   func(host string) []types.PluginMount // of the plugin
		writable string                                // by another plugin, below the host's directory
		change   func(t *testing.T, host string)
		refused  bool
	}{
		{name: "nothing"},
		{name: "a directory with no link in it", writable: "run"},
		{name: "the directory of the link", writable: "etc"},
		{name: "the host's root", writable: "."},
		{name: "a link by the plugin", writable: "run", change: relink(stub), refused: true},
		{name: "a link elsewhere", writable: "other", change: relink(stub)},
		{name: "a link by a plugin that can write to both", writable: ".", change: relink(stub)},
		{name: "a link by the same plugin", change: relink(stub), refused: true,
			mounts: func(h string) []types.PluginMount { return []types.PluginMount{bind("w", h+"/run", "/w")} }},
		{name: "a mount of the plugin's own", writable: "etc", refused: true,
			mounts: func(h string) []types.PluginMount {
				return []types.PluginMount{bind("s", h+"/etc/resolv.conf", "/s")}
			}},
		{name: "a mount of the plugin's own, at the same place", writable: "etc", refused: true,
			mounts: func(h string) []types.PluginMount {
				return []types.PluginMount{bind("s", h+"/etc/resolv.conf", h+"/etc/resolv.conf")}
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			host := t.TempDir()
			for _, name := range []string{"etc", "run/resolve", "other"} {
				assert.NilError(t, os.MkdirAll(filepath.Join(host, name), 0o755))
			}
			for _, name := range []string{"etc/hosts", stub, "secret"} {
				assert.NilError(t, os.WriteFile(filepath.Join(host, name), nil, 0o644))
			}
			assert.NilError(t, os.Symlink("../"+stub, host+"/etc/resolv.conf"))
			before := nameFiles
			t.Cleanup(func() { nameFiles = before })
			nameFiles = []string{host + "/etc/hosts", host + "/etc/resolv.conf"}

			var mounts []types.PluginMount
			if tc.mounts != nil {
				mounts = tc.mounts(host)
			}
			p := granted(t, mounts...)
			p.PluginObj.Config.Network.Type = "host"
			pin(t, p)
			var exposed Exposed
			if tc.writable != "" {
				exposed.Now = []string{filepath.Join(host, tc.writable)}
			}
			p.SetExposed(func() Exposed { return exposed })
			if tc.change != nil {
				tc.change(t, host)
			}
			check := func() {
				_, err := p.InitSpec(t.TempDir())
				if !tc.refused {
					assert.Check(t, err)
					return
				}
				assert.Check(t, is.ErrorContains(err, "resolv.conf"))
				assert.Check(t, is.ErrorContains(err, "a plugin can write to"))
			}
			check()
			if tc.change != nil { // what changed is refused also when the writer is gone
				exposed = Exposed{Ever: exposed.Now}
				check()
			}
		})
	}
}

// relink replaces a file below the host's directory by a link to a secret.
func relink(name string) func(t *testing.T, host string) {
	return func(t *testing.T, host string) {
		assert.NilError(t, os.Remove(filepath.Join(host, name)))
		assert.NilError(t, os.Symlink(host+"/secret", filepath.Join(host, name)))
	}
}

// TestDevicesThatComeAndGo grants devices that are not there, and such that the
// kernel renumbers. Docker runs these plugins.
func TestDevicesThatComeAndGo(t *testing.T) {
	testenv.NeedsRoot(t, "making device nodes")
	for _, tc := range []struct {
		name    string
		path    string
		granted []string // the nodes at the grant; nil to look
		refused bool
	}{
		{name: "absent at the grant", path: "$dir/node"},
		{name: "renumbered by the kernel", path: "/dev/null", granted: []string{"c 9:9"}},
		{name: "not the kernel's", path: "/dev/$name", granted: []string{"c 9:9"}, refused: true},
		{name: "renumbered in a directory that a plugin can write to", path: "$dir/node", granted: []string{"c 9:9"}, refused: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			path := strings.NewReplacer("$dir", dir, "$name", "dovetail-"+filepath.Base(filepath.Dir(dir))).Replace(tc.path)
			p := granted(t, bind("dev", filepath.Dir(path), "/d"))
			p.PluginObj.Config.Linux.Devices = []types.PluginDevice{{Name: "d", Path: &path}}
			p.InitEmptySettings()
			pin(t, p)
			if tc.granted != nil {
				p.devicePins = map[string][]string{path: tc.granted}
			}
			if path != "/dev/null" {
				assert.NilError(t, unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
				t.Cleanup(func() { _ = os.Remove(path) })
			}
			pin(t, p)
			_, err := p.InitSpec(t.TempDir())
			if tc.refused {
				assert.Check(t, is.ErrorContains(err, "c 1:3"))
			} else {
				assert.Check(t, err)
			}
		})
	}
}

// TestGrantsWithoutAList starts plugins while the list of directories is damaged:
// only what changed through a link is refused, and the error names the list.
func TestGrantsWithoutAList(t *testing.T) {
	host := t.TempDir()
	for _, name := range []string{"v1", "v2", "plain"} {
		assert.NilError(t, os.MkdirAll(filepath.Join(host, name), 0o755))
	}
	assert.NilError(t, os.Symlink("v1", host+"/link"))
	p := granted(t, bind("s", host+"/link", "/s"), bind("t", host+"/plain", "/t"))
	pin(t, p)
	p.SetExposed(func() Exposed { return Exposed{Damaged: "/root/exposed.json.damaged"} })
	_, err := p.InitSpec(t.TempDir())
	assert.NilError(t, err)
	assert.NilError(t, os.Remove(host+"/link"))
	assert.NilError(t, os.Symlink("v2", host+"/link"))
	_, err = p.InitSpec(t.TempDir())
	var changed *ChangedGrantError
	assert.Assert(t, errors.As(err, &changed), "%v", err)
	assert.Check(t, is.Equal(changed.Damaged, "/root/exposed.json.damaged"))
	assert.Check(t, is.Contains(changed.Error(), "remove /root/exposed.json.damaged"))
	p.SetExposed(nil)
	_, err = p.InitSpec(t.TempDir())
	assert.NilError(t, err)
}
