// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// tableOf reads lines of mountinfo: id, parent, device, root, mount point, type and
// source.
func tableOf(t *testing.T, lines ...string) *mountTable {
	t.Helper()
	var list strings.Builder
	for _, line := range lines {
		f := strings.Fields(line)
		list.WriteString(strings.Join(f[:5], " ") + " rw - " + strings.Join(f[5:], " ") + " rw\n")
	}
	mounts, err := mountinfo.GetMountsFromReader(strings.NewReader(list.String()), nil)
	assert.NilError(t, err)
	return &mountTable{mounts: append([]*mountinfo.Info{}, mounts...)}
}

func TestIdentities(t *testing.T) {
	host := []string{
		"1 0 8:1 / / ext4 /dev/sda1",
		"2 1 8:2 / /data ext4 /dev/sda2",
		"3 1 8:2 /x /alias ext4 /dev/sda2",
		"4 1 0:40 /@home /home btrfs /dev/sdb",
		"5 4 0:40 /@snap /home/snap btrfs /dev/sdb",
		"6 1 0:50 / /merged overlay overlay",
		"7 1 8:1 /gone//deleted /gone ext4 /dev/sda1",
		"8 2 0:60 / /data/tmp tmpfs tmpfs",
		"9 1 0:70 / /covered tmpfs tmpfs",
		"10 9 0:71 / /covered/in tmpfs tmpfs",
		"11 9 0:72 / /covered tmpfs tmpfs",
		"12 1 8:1 /a\\040b /with\\040blank ext4 /dev/sda1",
	}
	for _, tc := range []struct {
		name        string
		mounts      []string
		place, want string
	}{
		{"the host's root", host, "/", "8:1:"},
		{"a file", host, "/usr/lib", "8:1:/usr/lib"},
		{"a mount point", host, "/data", "8:2:"},
		{"below a mount point", host, "/data/x/y", "8:2:/x/y"},
		{"a name that begins like a mount point", host, "/database", "8:1:/database"},
		{"a bind", host, "/alias/y", "8:2:/x/y"},
		{"a path that is not clean", host, "/alias//y/", "8:2:/x/y"},
		{"a subvolume", host, "/home/me", "0:40:/@home/me"},
		{"another subvolume of the same file system", host, "/home/snap/me", "0:40:/@snap/me"},
		{"an overlay", host, "/merged/x", "0:50:/x"},
		{"a bind of a directory that was deleted", host, "/gone/x", "8:1:/gone//deleted/x"},
		{"a mount in a mount", host, "/data/tmp/x", "0:60:/x"},
		{"a mount over another one", host, "/covered/x", "0:72:/x"},
		{"a mount in one that is covered", host, "/covered/in/x", "0:72:/in/x"},
		{"blanks", host, "/with blank/x", "8:1:/a b/x"},
		{"no list", nil, "/data/x", ":/data/x"},
		{"outside of all mounts, as in a chroot", []string{"20 1 0:5 / /proc proc proc"}, "/data", ":/data"},
		{"in a mount in a chroot", []string{"20 1 0:5 / /proc proc proc"}, "/proc/1", "0:5:/1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Check(t, is.Equal(tableOf(t, tc.mounts...).id(tc.place), tc.want))
		})
	}
}

func TestNamesOfADirectory(t *testing.T) {
	table := tableOf(t,
		"1 0 8:1 / / ext4 /dev/sda1", "2 1 8:2 / /data ext4 /dev/sda2", "3 1 8:2 /x /alias ext4 /dev/sda2",
		"4 1 8:2 /x/y /deep ext4 /dev/sda2", "5 1 8:1 / /again ext4 /dev/sda1", "6 1 0:9 / /run tmpfs tmpfs", "7 6 8:3 / /run/disk ext4 /dev/sda3",
	)
	for place, want := range map[string][]string{
		"/data":    {"/data"},
		"/data/x":  {"/alias", "/data/x"},
		"/alias/y": {"/deep", "/alias/y", "/data/x/y"},
		"/usr":     {"/usr", "/again/usr"},
	} {
		assert.Check(t, is.DeepEqual(table.names(table.id(place)), want), place)
	}
	for place, want := range map[string]bool{"/": true, "/again": true, "8:1:": true, "8:2:": false, "/usr": false} {
		assert.Check(t, is.Equal(table.isRoot(place), want), place)
	}
	for place, want := range map[string]bool{"/run/x": true, "/run": false, "/data": false, "/run/disk": false} {
		assert.Check(t, is.Equal(table.endsWithBoot(place), want), place)
	}
}

// TestFileSystemsOfAMount finds what the host has of a file system that a plugin
// mounts.
func TestFileSystemsOfAMount(t *testing.T) {
	table := tableOf(t,
		"1 0 8:1 / / ext4 /dev/sda1", "2 1 0:40 / /home btrfs /dev/null", "3 1 0:41 / /srv nfs server:/srv", "4 1 0:42 / /tank zfs tank/a",
	)
	for _, tc := range []struct {
		kind, source string
		want         []string
	}{
		{"zfs", "tank/a", []string{"0:42:"}},
		{"zfs", "tank/b", nil},
		{"nfs", "server:/srv", []string{"0:41:"}},
		{"btrfs", "/dev/null", []string{"0:40:"}}, // no block device, but the same source
		{"ext4", "/dev/sda1", nil},
	} {
		assert.Check(t, is.DeepEqual(table.fileSystems(tc.kind, tc.source, asWritten.follow), tc.want), tc.source)
	}
}

// Sources of several mounts share one list, which takes long to read if a plugin has made
// many mounts.
func TestSourcesShareTheList(t *testing.T) {
	table := tableOf(t, "1 0 8:1 / / ext4 /dev/sda1", "2 1 0:42 / /tank zfs tank/a", "3 1 0:43 / /pool zfs pool/b")
	mounts := []specs.Mount{{Type: "zfs", Source: "tank/a", Destination: "/a"}, {Type: "zfs", Source: "pool/b", Destination: "/b"}}
	sources := followApart(mounts, false, table.all())
	assert.Check(t, is.DeepEqual(sources[0].fileSystems, []string{"0:42:"}))
	assert.Check(t, is.DeepEqual(sources[1].fileSystems, []string{"0:43:"}))
}
