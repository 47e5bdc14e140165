// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// granted returns a plugin on disk with mounts.
func granted(t *testing.T, mounts ...types.PluginMount) *Plugin {
	t.Helper()
	p, _ := plant(t, "")
	p.PluginObj.ID, p.PluginObj.Name = exampleID, "granted"
	p.PluginObj.Config.Entrypoint = []string{"/plugin"}
	p.PluginObj.Config.Mounts = mounts
	p.InitEmptySettings()
	return p
}

func pin(t *testing.T, p *Plugin) {
	t.Helper()
	_, silent, err := p.PinGrants(t.Context())
	assert.NilError(t, err)
	assert.Check(t, is.Len(silent, 0))
}

// TestSourcesThatAPluginCanRedirect replaces granted sources by links, as a
// plugin can where another mount lets it write.
func TestSourcesThatAPluginCanRedirect(t *testing.T) {
	mount := func(name, source string, options ...string) types.PluginMount {
		return types.PluginMount{Name: name, Type: "bind", Source: &source, Destination: "/" + name, Options: append(options, "rbind")}
	}
	overlay := func(options ...string) types.PluginMount {
		return types.PluginMount{Name: "overlay", Type: "overlay", Destination: "/overlay", Options: options}
	}
	for _, tc := range []struct {
		name    string
		links   map[string]string // made after the grant, below the host's directory
		mounts  func(host string) []types.PluginMount
		others  []string // what other plugins can write to, below the host's directory
		admin   bool
		refused bool
	}{
		{"nothing", nil, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), mount("s", h+"/data/sub")}
		}, nil, false, false},
		{"a link out", map[string]string{"data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), mount("s", h+"/data/sub")}
		}, nil, false, true},
		{"a link out, in the other order", map[string]string{"data/sub": ".."}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("s", h+"/data/sub"), mount("w", h+"/data")}
		}, nil, false, true},
		{"a link out above the source", map[string]string{"data/sub": "/etc"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), mount("s", h+"/data/sub/ssl")}
		}, nil, false, true},
		{"two links out that vouch for each other", map[string]string{"data/sub": "/", "data/two": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), mount("s", h+"/data/sub"), mount("t", h+"/data/two")}
		}, nil, false, true},
		{"a link that stays inside", map[string]string{"data/sub": "other"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), mount("s", h+"/data/sub")}
		}, nil, false, false},
		{"a link out of a directory that is read only", map[string]string{"data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data", "ro"), mount("s", h+"/data/sub")}
		}, nil, false, false},
		{"a link out of a directory that can be remounted", map[string]string{"data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data", "ro"), mount("s", h+"/data/sub")}
		}, nil, true, true},
		{"a link of the host's", map[string]string{"link": "data"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data/other"), mount("s", h+"/link")}
		}, nil, false, false},
		{"the same link twice", map[string]string{"link": "data"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/link"), mount("s", h+"/link/other")}
		}, nil, false, false},
		{"a link out in a directory reached by a link", map[string]string{"link": "data", "data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/link"), mount("s", h+"/data/sub")}
		}, nil, false, true},
		{"a link that another plugin can make", map[string]string{"data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("s", h+"/data/sub")}
		}, []string{"data"}, false, true},
		{"a link that no plugin can make", map[string]string{"data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("s", h+"/data/sub")}
		}, []string{"data/other"}, false, false},
		{"a link out to the plugin's own record", map[string]string{"data/sub": "$own"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), mount("s", h+"/data/sub")}
		}, nil, false, true},
		{"a link out to where another plugin can write", map[string]string{"data/sub": "../foreign"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), mount("s", h+"/data/sub")}
		}, []string{"foreign"}, false, true},
		{"a link out, and another plugin that has the host's root", map[string]string{"data/sub": "/etc"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), mount("s", h+"/data/sub")}
		}, []string{"/"}, false, true},
		{"a link of the host's, and another plugin that has the host's root", map[string]string{"data/sub": "/etc"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("s", h+"/data/sub")}
		}, []string{"/"}, false, false},
		{"a link out of a directory that is writable in the end", map[string]string{"data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data", "ro", "rrw"), mount("s", h+"/data/sub")}
		}, nil, false, true},
		{"a link out of a directory that is read only in the end", map[string]string{"data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data", "rro", "rw"), mount("s", h+"/data/sub")}
		}, nil, false, false},
		{"a link out of an overlay's upper directory", map[string]string{"data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{overlay("lowerdir=/usr,upperdir=" + h + "/data,workdir=" + h + "/work"), mount("s", h+"/data/sub")}
		}, nil, false, true},
		{"a link out of an overlay's lower directory", map[string]string{"data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{overlay("lowerdir="+h+"/data", "upperdir="+h+"/upper", "workdir="+h+"/work"), mount("s", h+"/data/sub")}
		}, nil, false, false},
		{"a lower directory that is a link out", map[string]string{"data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), overlay("lowerdir=/usr:" + h + "/data/sub")}
		}, nil, false, true},
		{"an upper directory that is a link to what is granted", map[string]string{"data/sub": "other"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), overlay("upperdir=" + h + "/data/sub")}
		}, nil, false, false},
		{"another file system's device that is a link out", map[string]string{"data/sub": "/dev/sda"}, func(h string) []types.PluginMount {
			disk := mount("disk", h+"/data/sub")
			disk.Type, disk.Options = "ext4", nil
			return []types.PluginMount{mount("w", h+"/data"), disk}
		}, nil, false, true},
		{"a link out that can't be followed", map[string]string{"data/sub": "/proc/self/root/etc"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), mount("s", h+"/data/sub")}
		}, nil, false, true},
		{"a link out that takes more steps than are counted", map[string]string{
			"data/sub": strings.Repeat("other/../", 400) + "a", "data/a": strings.Repeat("other/../", 400) + "b",
			"data/b": strings.Repeat("other/../", 400) + "c", "data/c": strings.Repeat("other/../", 400) + "d",
			"data/d": strings.Repeat("other/../", 400) + "e", "data/e": strings.Repeat("other/../", 400) + "f", "data/f": "/etc",
		}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", h+"/data"), mount("s", h+"/data/sub")}
		}, nil, false, true},
		{"the host's root", map[string]string{"data/sub": "/"}, func(h string) []types.PluginMount {
			return []types.PluginMount{mount("w", "/"), mount("s", h+"/data/sub")}
		}, nil, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			host := t.TempDir()
			assert.NilError(t, os.MkdirAll(filepath.Join(host, "data/other"), 0o755))
			p := granted(t, tc.mounts(host)...)
			for name, target := range tc.links {
				target = strings.ReplaceAll(target, "$own", filepath.Dir(p.Rootfs))
				assert.NilError(t, os.Symlink(target, filepath.Join(host, name)))
			}
			if tc.admin {
				p.PluginObj.Config.Linux.Capabilities = []string{"CAP_SYS_ADMIN"}
			}
			p.SetExposed(func() (exposed Exposed) {
				for _, name := range tc.others {
					if name != "/" {
						name = filepath.Join(host, name)
					}
					exposed.Now = append(exposed.Now, name)
				}
				return exposed
			})
			_, err := p.InitSpec(t.TempDir())
			if tc.refused {
				assert.Check(t, is.ErrorContains(err, "and may have made that link"))
				return
			}
			assert.Check(t, err)
		})
	}
}

// TestDevicesThatAPluginCanReplace replaces granted devices by others.
func TestDevicesThatAPluginCanReplace(t *testing.T) {
	testenv.NeedsRoot(t, "making device nodes")
	null, zero := int(unix.Mkdev(1, 3)), int(unix.Mkdev(1, 5))
	for _, tc := range []struct {
		name    string
		replace func(t *testing.T, dev string)
		change  func(p *Plugin, dev string)
		refused bool
	}{
		{"not replaced", func(*testing.T, string) {}, nil, false},
		{"another device", func(t *testing.T, dev string) {
			assert.NilError(t, os.Remove(dev+"/node"))
			assert.NilError(t, unix.Mknod(dev+"/node", unix.S_IFCHR|0o600, zero))
		}, nil, true},
		{"another kind", func(t *testing.T, dev string) {
			assert.NilError(t, os.Remove(dev+"/node"))
			assert.NilError(t, unix.Mknod(dev+"/node", unix.S_IFBLK|0o600, null))
		}, nil, true},
		{"a link to another device", func(t *testing.T, dev string) {
			assert.NilError(t, os.Remove(dev+"/node"))
			assert.NilError(t, os.Symlink("/dev/zero", dev+"/node"))
		}, nil, true},
		{"a directory of others", func(t *testing.T, dev string) {
			assert.NilError(t, os.Remove(dev+"/node"))
			assert.NilError(t, os.Mkdir(dev+"/node", 0o755))
			assert.NilError(t, unix.Mknod(dev+"/node/zero", unix.S_IFCHR|0o600, zero))
		}, nil, true},
		{"another device that was set", func(t *testing.T, dev string) {
			assert.NilError(t, os.Remove(dev+"/node"))
			assert.NilError(t, unix.Mknod(dev+"/node", unix.S_IFCHR|0o600, zero))
		}, func(p *Plugin, dev string) { _ = p.Set([]string{"d.path=" + dev + "/node"}) }, false},
		{"all devices", func(t *testing.T, dev string) {
			assert.NilError(t, os.Remove(dev+"/node"))
			assert.NilError(t, unix.Mknod(dev+"/node", unix.S_IFCHR|0o600, zero))
		}, func(p *Plugin, _ string) { p.PluginObj.Config.Linux.AllowAllDevices = true }, false},
		{"where no plugin can write", func(t *testing.T, dev string) {
			assert.NilError(t, os.Remove(dev+"/node"))
			assert.NilError(t, unix.Mknod(dev+"/node", unix.S_IFCHR|0o600, zero))
		}, func(p *Plugin, _ string) {
			p.PluginObj.Config.Mounts[0].Options = []string{"rbind", "ro"}
			p.PluginObj.Settings.Mounts = nil
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dev := t.TempDir()
			assert.NilError(t, unix.Mknod(dev+"/node", unix.S_IFCHR|0o600, null))
			p := granted(t, bind("dev", dev, "/d"))
			path := dev + "/node"
			p.PluginObj.Config.Linux.Devices = []types.PluginDevice{{Name: "d", Path: &path, Settable: []string{"path"}}}
			p.InitEmptySettings()
			pin(t, p)
			again := new(Plugin)
			assert.NilError(t, json.Unmarshal(encode(p), again), "the next daemon knows what was granted")
			again.Rootfs = p.Rootfs
			tc.replace(t, dev)
			if tc.change != nil {
				tc.change(again, dev)
			}
			pin(t, again)
			_, err := again.InitSpec(t.TempDir())
			if tc.refused {
				assert.Check(t, is.ErrorContains(err, "when it was granted: a plugin can write to "+dev))
				return
			}
			assert.Check(t, err)
		})
	}
}

// TestDeviceDirectoriesThatAPluginCanFill grants a directory of devices, and makes
// another device in a directory below.
func TestDeviceDirectoriesThatAPluginCanFill(t *testing.T) {
	testenv.NeedsRoot(t, "making device nodes")
	for _, tc := range []struct {
		place, writable string
		refused         bool
	}{
		{"sub", "sub", true},
		{"sub/deep", "sub", true},
		{".", "sub", true}, // the nodes of the directory are one grant
		{"sub", "other", false},
	} {
		dev := t.TempDir()
		assert.NilError(t, os.MkdirAll(filepath.Join(dev, "granted", "sub/deep"), 0o755))
		assert.NilError(t, os.MkdirAll(filepath.Join(dev, "other"), 0o755))
		path, writable := filepath.Join(dev, "granted"), filepath.Join(dev, "granted", tc.writable)
		if tc.writable == "other" {
			writable = filepath.Join(dev, "other")
		}
		p := granted(t)
		p.PluginObj.Config.Linux.Devices = []types.PluginDevice{{Name: "d", Path: &path}}
		p.InitEmptySettings()
		p.SetExposed(func() Exposed { return Exposed{Now: []string{writable}, Ever: []string{writable}} })
		pin(t, p)
		assert.NilError(t, unix.Mknod(filepath.Join(path, tc.place, "zero"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
		_, err := p.InitSpec(t.TempDir())
		if tc.refused {
			assert.Check(t, is.ErrorContains(err, "when it was granted: a plugin can write to "+writable))
		} else {
			assert.Check(t, err)
		}
	}
}
