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
		{name: "a link in the place of /dev", entries: []string{"rootfs/dev -> ../../host/dev"}, want: "/dev is a link in its rootfs, to /host/dev"},
		{name: "and of /proc", entries: []string{"rootfs/proc -> /"}, want: "/proc is a link in its rootfs, to /:"},
		{name: "and of /sys", entries: []string{"rootfs/sys -> etc"}, want: "/sys is a link in its rootfs, to /etc"},
		{
			name:   "a mount point that the host has",
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/host/data")},
		},
		{
			name:   "one that it lacks",
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/host/new")},
			want:   "its mount at /host/new needs " + host + "/new, which the host does not have",
		},
		{
			name: "one by a link", entries: []string{"rootfs/alias -> host/data"},
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/alias/new")},
			want:   "its mount at /alias/new needs " + host + "/data/new",
		},
		{
			name:   "one that was covered again",
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/host/data"), ofType("tmpfs", "/host/data/new")},
		},
		{
			name:   "one that the host would see mounted",
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/host/data")}, change: shared,
			want: "its mount at /host/data would be mounted on the host at " + host + "/data",
		},
		{
			name:   "one below the plugin's own",
			mounts: []specs.Mount{ofType("bind", "/mnt"), ofType("tmpfs", "/mnt/new")}, change: shared,
		},
		{
			name:   "one through the kernel's links",
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/proc/self/root/host/new")},
			want:   "its mount at /proc/self/root/host/new leads through links of the kernel",
		},
		{
			name:   "and through the host's",
			mounts: []specs.Mount{bindAt("/proc", "/p"), ofType("tmpfs", "/p/self/cwd/new")},
			want:   "its mount at /p/self/cwd/new leads through links of the kernel",
		},
		{
			name:   "one in a file system of its own",
			mounts: []specs.Mount{ofType("ext4", "/disk"), ofType("tmpfs", "/disk/link/new")},
			want:   "its mount at /disk/link/new is in a file system, at /disk, that can't be looked at",
		},
		{
			name: "one beyond the kernel's links", entries: []string{"rootfs/a -> /proc/self/cwd/../../host/new"},
			mounts: []specs.Mount{ofType("tmpfs", "/a")}, want: "its mount at /a leads through links of the kernel",
		},
		{
			name: "and of devices", entries: []string{"rootfs/a -> /sys/class/net/lo/subsystem/../../../host"},
			mounts: []specs.Mount{bindAt(host, "/host"), ofType("tmpfs", "/a/new")}, want: "its mount at /a/new leads through links of the kernel",
		},
		{
			name:   "one below a link that is mounted",
			mounts: []specs.Mount{bindAt(host+"/link", "/host"), ofType("tmpfs", "/host/new")},
			want:   "its mount at /host/new needs " + host + "/run/new, which the host does not have",
		},
		{
			name: "one below a link that is mounted where a link leads", entries: []string{"rootfs/var/run -> /run"},
			mounts: []specs.Mount{bindAt(host+"/link", "/var/run"), ofType("tmpfs", "/run/new")},
			want:   "its mount at /run/new needs " + host + "/run/new",
		},
		{
			name:   "one below a link, which the host would see mounted",
			mounts: []specs.Mount{bindAt(host+"/link", "/run"), bindAt("/exec/"+exampleID, pluginSockets)}, change: shared,
			want: "its mount at /run/docker/plugins would be mounted on the host at " + host + "/run/docker/plugins",
		},
		{
			name:   "one below a link that leads nowhere",
			mounts: []specs.Mount{bindAt(host+"/dangling", "/host"), ofType("tmpfs", "/host/new")},
			want:   "its mount at /host/new needs " + host + "/data/new",
		},
		{
			name: "below links of the kernel that are mounted", mounts: []specs.Mount{bindAt("/proc/self", "/self"), ofType("tmpfs", "/self/new")},
			want: "its mount at /self/new is in a file system, at /self, that can't be looked at",
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
			want: "its mount at /p leads to /a, and is of type proc: mount it there",
		},
		{
			name: "sysfs below a link", entries: []string{"rootfs/a -> /host"}, mounts: []specs.Mount{ofType("sysfs", "/a/sys")},
			want: "its mount at /a/sys leads to /host/sys, and is of type sysfs",
		},
		{
			name: "cgroups below a link", entries: []string{"rootfs/a/b -> .."}, mounts: []specs.Mount{ofType("cgroup", "/a/b/c")},
			want: "its mount at /a/b/c leads to /c, and is of type cgroup",
		},
		{
			name: "all cgroups below a link", entries: []string{"rootfs/a -> b"}, mounts: []specs.Mount{ofType("cgroup2", "/a/c")},
			want: "its mount at /a/c leads to /b/c, and is of type cgroup2",
		},
		{name: "proc at a place of its own", entries: []string{"rootfs/a -> b"}, mounts: []specs.Mount{ofType("proc", "/b/p"), ofType("cgroup", "/c")}},
		{name: "a mount in all cgroups", mounts: []specs.Mount{ofType("cgroup2", "/c"), ofType("tmpfs", "/c/new")}, want: "its mount at /c/new is in a file system, at /c, that can't be looked at"},
		{name: "the host's devices as a file system", mounts: []specs.Mount{ofType("devtmpfs", "/dev")}, want: "its mount at /dev shows the host's devices, among which"},
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
			name: "one that the host lacks", mounts: []specs.Mount{bindAt(host, "/host")}, change: workDir("/host/new"),
			want: "its working directory /host/new needs " + host + "/new",
		},
		{name: "one of the runtime", change: workDir("/proc/self/fd/7"), want: "its working directory /proc/self/fd/7 leads through links of the kernel"},
		{
			name: "one behind more links than are followed", entries: []string{"rootfs/x/", "rootfs/w -> " + strings.Repeat("x/../", 818) + "w"},
			change: workDir("/w"), want: "its working directory /w leads through more symbolic links",
		},
		{name: "one of the runtime by a link of its own", entries: []string{"rootfs/w -> /dev/fd/7"}, change: workDir("/w"), want: "its working directory /w is a link"},
		{name: "one of the runtime by two", entries: []string{"rootfs/w -> x/../v", "rootfs/v -> ../dev/stdin"}, change: workDir("/w/a"), want: "its working directory /w/a is a link"},
		{name: "one of the runtime by a link", change: workDir("/dev/fd/7"), want: "its working directory /dev/fd/7 is a link"},
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
			assert.ErrorType(t, err, ErrInvalidSpec{})
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
		{"a file system of its own", nil, []specs.Mount{ofType("tmpfs", "/etc")}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, _ := plant(t, "", tc.entries...)
			spec := oci.DefaultSpec()
			assert.Equal(t, len(nameResolution(tc.mounts, treeOf(&spec, p, "/exec", tc.mounts), everywhere)), tc.want)
		})
	}
}
