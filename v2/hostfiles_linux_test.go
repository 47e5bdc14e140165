// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
)

func bindAt(source, destination string) specs.Mount {
	return specs.Mount{Type: "bind", Source: source, Destination: destination, Options: []string{"rbind"}}
}

func ofType(typ, destination string, options ...string) specs.Mount {
	return specs.Mount{Type: typ, Source: typ, Destination: destination, Options: options}
}

func TestSpareHostFiles(t *testing.T) {
	host := t.TempDir()
	for _, name := range []string{"data", "run", "dev/net"} {
		assert.NilError(t, os.MkdirAll(filepath.Join(host, name), 0o755))
	}
	assert.NilError(t, os.Symlink("/proc", filepath.Join(host, "proc")))
	assert.NilError(t, os.Symlink("run", filepath.Join(host, "link")))
	assert.NilError(t, os.Symlink("missing/../data", filepath.Join(host, "dangling")))
	device := func(path string) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: path}) }
	}
	workDir := func(dir string) func(*specs.Spec) { return func(s *specs.Spec) { s.Process.Cwd = dir } }
	shared := func(s *specs.Spec) { s.Linux.RootfsPropagation = "rshared" }
	for _, tc := range []struct {
		name    string
		entries []string
		mounts  []specs.Mount
		change  func(*specs.Spec)
		want    string // empty for a spec that is fine
	}{
		{name: "nothing"},
		{name: "mounts in the rootfs", mounts: []specs.Mount{bindAt(host, "/host"), bindAt(host, "/mnt/host"), ofType("tmpfs", "/a/b")}},
		{name: "links in the rootfs", entries: []string{"rootfs/run -> /var/run", "rootfs/etc -> ../../../etc"}},
		{name: "a link in the place of /dev", entries: []string{"rootfs/dev -> ../../host/dev"}, want: "/dev in its rootfs is a link to /host/dev"},
		{name: "a link in the place of /proc", entries: []string{"rootfs/proc -> /"}, want: "/proc in its rootfs is a link to /:"},
		{name: "a link in the place of /sys", entries: []string{"rootfs/sys -> etc"}, want: "/sys in its rootfs is a link to /etc"},
		{
			name:   "a mount point that the host has",
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/host/data")},
		},
		{
			name:   "a mount point that the host lacks",
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/host/new")},
			want:   "its mount at /host/new needs " + host + "/new, which the host does not have",
		},
		{
			name: "a mount point through a link", entries: []string{"rootfs/alias -> host/data"},
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/alias/new")},
			want:   "its mount at /alias/new needs " + host + "/data/new",
		},
		{
			name:   "a covered mount point",
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/host/data"), ofType("tmpfs", "/host/data/new")},
		},
		{
			name:   "a mount point that the host would see",
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/host/data")}, change: shared,
			want: "its mount at /host/data would be mounted on the host at " + host + "/data",
		},
		{
			name:   "a mount point below the plugin's own",
			mounts: []specs.Mount{ofType("bind", "/mnt"), ofType("tmpfs", "/mnt/new")}, change: shared,
		},
		{
			name:   "a mount point through the kernel's links",
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/proc/self/root/host/new")},
			want:   "its mount at /proc/self/root/host/new resolves through magic links of the kernel",
		},
		{
			name:   "a mount point through the host's links",
			mounts: []specs.Mount{bindAt("/proc", "/p"), ofType("tmpfs", "/p/self/cwd/new")},
			want:   "its mount at /p/self/cwd/new resolves through magic links of the kernel",
		},
		{
			name:   "a mount point in another file system",
			mounts: []specs.Mount{ofType("ext4", "/disk"), ofType("tmpfs", "/disk/link/new")},
			want:   "its mount at /disk/link/new is in the file system at /disk, which can't be inspected before the start",
		},
		{
			name: "a mount point beyond the kernel's links", entries: []string{"rootfs/a -> /proc/self/cwd/../../host/new"},
			mounts: []specs.Mount{ofType("tmpfs", "/a")}, want: "its mount at /a resolves through magic links of the kernel",
		},
		{
			name: "a mount point beyond links of devices", entries: []string{"rootfs/a -> /sys/class/net/lo/subsystem/../../../host"},
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/a/new")}, want: "its mount at /a/new resolves through magic links of the kernel",
		},
		{
			name:   "a mount point below a mounted link",
			mounts: []specs.Mount{bindAt(host+"/link", "/host"), ofType("tmpfs", "/host/new")},
			want:   "its mount at /host/new needs " + host + "/run/new, which the host does not have",
		},
		{
			name: "a mount point below a link mounted at a link's target", entries: []string{"rootfs/var/run -> /run"},
			mounts: []specs.Mount{bindAt(host+"/link", "/var/run"), ofType("tmpfs", "/run/new")},
			want:   "its mount at /run/new needs " + host + "/run/new",
		},
		{
			name:   "a mount point below a link that the host would see",
			mounts: []specs.Mount{bindAt(host+"/link", "/run"), bindAt("/exec/"+exampleID, pluginSockets)}, change: shared,
			want: "its mount at /run/docker/plugins would be mounted on the host at " + host + "/run/docker/plugins",
		},
		{
			name:   "a mount point below a dangling link",
			mounts: []specs.Mount{bindAt(host+"/dangling", "/host"), ofType("tmpfs", "/host/new")},
			want:   "its mount at /host/new needs " + host + "/data/new",
		},
		{
			name: "below links of the kernel that are mounted", mounts: []specs.Mount{bindAt("/proc/self", "/self"), ofType("tmpfs", "/self/new")},
			want: "its mount at /self/new is in the file system at /self, which can't be inspected before the start",
		},
		{name: "links of the kernel that are mounted", mounts: []specs.Mount{bindAt("/proc/self/mounts", "/etc/mtab")}},
		{
			name: "a working directory below a link that is mounted", mounts: []specs.Mount{bindAt(host+"/link", "/host")},
			change: workDir("/host/work"), want: "its working directory /host/work needs " + host + "/run/work",
		},
		{
			name:   "a copy of what it covers",
			mounts: []specs.Mount{ofType("tmpfs", "/copy", "tmpcopyup")}, change: shared, want: "its mount at /copy has the option tmpcopyup",
		},
		{name: "a copy that the host does not see", mounts: []specs.Mount{ofType("tmpfs", "/copy", "tmpcopyup")}},
		{
			name:   "a remount",
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("ext4", "/host", "remount", "ro")}, want: "its mount at /host is a remount",
		},
		{
			name: "proc where a link leads", entries: []string{"rootfs/p -> a"}, mounts: []specs.Mount{ofType("proc", "/p")},
			want: "its mount at /p leads to /a through a link, which is refused for type proc: mount it at that place",
		},
		{
			name: "sysfs below a link", entries: []string{"rootfs/a -> /host"}, mounts: []specs.Mount{ofType("sysfs", "/a/sys")},
			want: "its mount at /a/sys leads to /host/sys through a link, which is refused for type sysfs",
		},
		{
			name: "cgroups below a link", entries: []string{"rootfs/a/b -> .."}, mounts: []specs.Mount{ofType("cgroup", "/a/b/c")},
			want: "its mount at /a/b/c leads to /c through a link, which is refused for type cgroup",
		},
		{
			name: "all cgroups below a link", entries: []string{"rootfs/a -> b"}, mounts: []specs.Mount{ofType("cgroup2", "/a/c")},
			want: "its mount at /a/c leads to /b/c through a link, which is refused for type cgroup2",
		},
		{name: "proc at another place", entries: []string{"rootfs/a -> b"}, mounts: []specs.Mount{ofType("proc", "/b/p"), ofType("cgroup", "/c")}},
		{name: "a mount in all cgroups", mounts: []specs.Mount{ofType("cgroup2", "/c"), ofType("tmpfs", "/c/new")}, want: "its mount at /c/new is in the file system at /c, which can't be inspected before the start"},
		{name: "the host's devices as a file system", mounts: []specs.Mount{ofType("devtmpfs", "/dev")}, want: "its mount at /dev shows the host's devices, and the runtime"},
		{name: "the host's devices elsewhere", mounts: []specs.Mount{ofType("devtmpfs", "/d")}},
		{name: "the runtime's files", mounts: []specs.Mount{bindAt(".", "/bundle")}, want: `its mount at /bundle has the source "."`},
		{name: "the host's devices", mounts: []specs.Mount{bindAt(host+"/dev", "/dev")}, change: device("/dev/new")},
		{
			name: "the host's devices by a link", entries: []string{"rootfs/d -> dev"},
			mounts: []specs.Mount{bindAt(host+"/dev", "/d")}, want: "its mount at /d covers /dev",
		},
		{
			name:   "a device that the host has elsewhere",
			mounts: []specs.Mount{bindAt(host+"/dev/net", "/dev/net")}, change: device("/dev/net/tun"),
			want: "its device at /dev/net/tun needs " + host + "/dev/net/tun",
		},
		{name: "a device", change: device("/dev/a/b")},
		{name: "a working directory", change: workDir("/new/../newer")},
		{
			name: "a working directory of the host", mounts: []specs.Mount{bindAt(host, "/host")},
			change: workDir("/host/data"),
		},
		{
			name: "a working directory that the host lacks", mounts: []specs.Mount{bindAt(host, "/host")}, change: workDir("/host/new"),
			want: "its working directory /host/new needs " + host + "/new",
		},
		{name: "a working directory of the runtime", change: workDir("/proc/self/fd/7"), want: "its working directory /proc/self/fd/7 resolves through magic links of the kernel"},
		{
			name: "a working directory behind too many links", entries: []string{"rootfs/x/", "rootfs/w -> " + strings.Repeat("x/../", 818) + "w"},
			change: workDir("/w"), want: "its working directory /w has too many symbolic links",
		},
		{name: "a working directory of the runtime through the plugin's link", entries: []string{"rootfs/w -> /dev/fd/7"}, change: workDir("/w"), want: "its working directory /w leads through a link of /dev"},
		{name: "a working directory of the runtime through two links", entries: []string{"rootfs/w -> x/../v", "rootfs/v -> ../dev/stdin"}, change: workDir("/w/a"), want: "its working directory /w/a leads through a link of /dev"},
		{name: "a working directory of the runtime through a link", change: workDir("/dev/fd/7"), want: "its working directory /dev/fd/7 leads through a link of /dev"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, directory := plant(t, "", tc.entries...)
			p.PluginObj.ID = exampleID
			spec := oci.DefaultSpec()
			spec.Process.Cwd = "/"
			for _, mount := range tc.mounts {
				if mount.Source == "bind" {
					mount.Source = filepath.Join(directory, "propagated-mount")
				}
				spec.Mounts = append(spec.Mounts, mount)
			}
			if tc.change != nil {
				tc.change(&spec)
			}
			_, err := spareHostFiles(&spec, p, "/exec")
			if tc.want == "" {
				assert.NilError(t, err)
				return
			}
			assert.ErrorType(t, err, &InvalidSpecError{})
			assert.ErrorContains(t, err, tc.want)
		})
	}
}

// TestMissingSocketDirectoryIsMade mounts directories of the host, which lack
// the mount point of the sockets, at and above that.
func TestMissingSocketDirectoryIsMade(t *testing.T) {
	for _, tc := range []struct {
		name, source, destination string
		want                      string // below the host's directory
	}{
		{"at /run", "run", "/run", "run/docker/plugins"},
		{"at /run by a link", "link", "/run", "run/docker/plugins"},
		{"at /run/docker", "run", "/run/docker", "run/plugins"},
		{"where a link in the rootfs leads", "link", "/var/run", "run/docker/plugins"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, _ := plant(t, "", "rootfs/run -> var/run")
			if tc.destination != "/var/run" {
				p, _ = plant(t, "")
			}
			host := t.TempDir()
			assert.NilError(t, os.Mkdir(filepath.Join(host, "run"), 0o755))
			assert.NilError(t, os.Symlink("run", filepath.Join(host, "link")))
			p.PluginObj.ID = exampleID
			p.PluginObj.Config.Entrypoint = []string{"/plugin"}
			p.PluginObj.Config.Mounts = append(p.PluginObj.Config.Mounts, bind("run", filepath.Join(host, tc.source), tc.destination))
			_, err := p.InitSpec(t.TempDir())
			assert.NilError(t, err)
			stat, err := os.Lstat(filepath.Join(host, tc.want))
			assert.NilError(t, err)
			assert.Check(t, stat.IsDir())

			p.PluginObj.Config.PropagatedMount = "/mnt"
			_, err = p.InitSpec(t.TempDir())
			assert.ErrorContains(t, err, "would be mounted on the host at "+filepath.Join(host, tc.want))
		})
	}
}

// TestUnmaskSparesTheHost keeps what is hidden from being hidden on the host.
func TestUnmaskSparesTheHost(t *testing.T) {
	defaults := oci.DefaultSpec().Linux
	notOfSys := func(all []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return strings.HasPrefix(name, "/sys/") })
	}
	for _, tc := range []struct {
		name        string
		propagation string
		mounts      []specs.Mount
		masked      []string
	}{
		{"nothing of the host's", "rshared", nil, defaults.MaskedPaths},
		{"the host's /sys", "rshared", []specs.Mount{bindAt("/sys", "/sys")}, notOfSys(defaults.MaskedPaths)},
		{"the host's /sys, which sees nothing", "", []specs.Mount{bindAt("/sys", "/sys")}, defaults.MaskedPaths},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, _ := plant(t, "")
			spec := oci.DefaultSpec()
			spec.Linux.MaskedPaths = slices.Clone(spec.Linux.MaskedPaths)
			spec.Process.Cwd = "/"
			spec.Linux.RootfsPropagation = tc.propagation
			spec.Mounts = append(spec.Mounts[:0:0], tc.mounts...)
			_, err := spareHostFiles(&spec, p, "/exec")
			assert.NilError(t, err)
			assert.DeepEqual(t, spec.Linux.MaskedPaths, tc.masked)
			assert.DeepEqual(t, spec.Linux.ReadonlyPaths, defaults.ReadonlyPaths)
		})
	}
	assert.Assert(t, len(notOfSys(defaults.MaskedPaths)) < len(defaults.MaskedPaths))
}

// TestNameResolutionSparesTheHost leaves /etc alone where it is the host's.
func TestNameResolutionSparesTheHost(t *testing.T) {
	for _, tc := range []struct {
		name    string
		entries []string
		mounts  []specs.Mount
		want    int
	}{
		{"nothing there", nil, nil, 2},
		{"the host's /etc", nil, []specs.Mount{bindAt("/srv/etc", "/etc")}, 0},
		{"the host's /etc by a link", []string{"rootfs/e -> etc"}, []specs.Mount{bindAt("/srv/etc", "/e")}, 0},
		{"one of the files", nil, []specs.Mount{bindAt("/srv/hosts", "/etc/hosts")}, 1},
		{"another file system", nil, []specs.Mount{ofType("tmpfs", "/etc")}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, _ := plant(t, "", tc.entries...)
			spec := oci.DefaultSpec()
			assert.Equal(t, len(nameResolution(tc.mounts, treeOf(&spec, p, "/exec", tc.mounts), everywhere)), tc.want)
		})
	}
}
