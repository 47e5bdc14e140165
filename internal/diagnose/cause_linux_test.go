// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	v2 "github.com/dovetailhq/plugin/v2"
)

// testProgram returns this test's own binary with another machine in its header.
func testProgram(t *testing.T, machine uint16) []byte {
	t.Helper()
	self, err := os.Executable()
	assert.NilError(t, err)
	data, err := os.ReadFile(self)
	assert.NilError(t, err)
	if machine != 0 {
		const offsetOfMachine = 18
		binary.LittleEndian.PutUint16(data[offsetOfMachine:], machine)
	}
	return data
}

// pluginAt returns a plugin with paths scoped to rootfs.
func pluginAt(rootfs, entrypoint string) *Plugin {
	handle := v2.Plugin{Rootfs: rootfs}
	return &Plugin{
		Plugin: types.Plugin{Config: types.PluginConfig{Entrypoint: []string{entrypoint}}},
		Rootfs: rootfs,
		OnHost: handle.ScopedPath,
	}
}

func TestCause(t *testing.T) {
	const riscv = 243
	absent := filepath.Join(t.TempDir(), "absent")
	for _, tc := range []struct {
		name    string
		content []byte
		mode    os.FileMode
		change  func(p *Plugin, rootfs string)
		want    string
	}{
		{name: "fine script", content: []byte("#!/entrypoint -x\n"), mode: 0o755, want: ""},
		{name: "missing", want: "entrypoint /entrypoint is not in the plugin's rootfs"},
		{name: "none", change: func(p *Plugin, _ string) { p.Config.Entrypoint = nil }, want: "no entrypoint"},
		{name: "not executable", content: []byte("#!/entrypoint"), mode: 0o644, want: "not executable: its mode is -rw-r--r--"},
		{name: "directory", change: func(p *Plugin, rootfs string) {
			assert.NilError(t, os.Mkdir(filepath.Join(rootfs, "entrypoint"), 0o755))
		}, want: "is a directory"},
		{name: "pipe", change: func(p *Plugin, rootfs string) {
			assert.NilError(t, unix.Mkfifo(filepath.Join(rootfs, "entrypoint"), 0o755))
		}, want: "is not a file: its mode is p"},
		{name: "no loader", content: dynamic64("/lib/ld.so"), mode: 0o755, want: "needs /lib/ld.so, which is not"},
		{name: "text", content: []byte("hello"), mode: 0o755, want: "neither a program"},
		{name: "empty", content: []byte{}, mode: 0o755, want: "neither a program"},
		{name: "script of Windows", content: []byte("#!/entrypoint\r\necho\r\n"), mode: 0o755, want: "has the line ends of Windows (CRLF)"},
		{name: "script of Windows with an argument", content: []byte("#!/entrypoint bash\r\n"), mode: 0o755, want: "has the line ends of Windows (CRLF)"},
		{name: "script of Windows after the first line", content: []byte("#!/entrypoint\necho\r\n"), mode: 0o755, want: ""},
		{name: "script with a mark", content: []byte("\xef\xbb\xbf#!/entrypoint\n"), mode: 0o755, want: "begins with a byte order mark"},
		{name: "script with a tab", content: []byte("#!/entrypoint\t-x\n"), mode: 0o755, want: ""},
		{name: "script without a name", content: []byte("#! \n"), mode: 0o755, want: "names no interpreter after #!"},
		{name: "no interpreter", content: []byte("#! /bin/sh -e\n"), mode: 0o755, want: "needs /bin/sh, which is not"},
		{name: "other machine", content: testProgram(t, riscv), mode: 0o755, want: "is built for EM_RISCV"},
		{name: "absolute link", mode: 0o755, change: func(p *Plugin, rootfs string) {
			assert.NilError(t, os.Symlink("/real", filepath.Join(rootfs, "entrypoint")))
			assert.NilError(t, os.WriteFile(filepath.Join(rootfs, "real"), []byte("#!/real"), 0o755))
		}, want: ""},
		{name: "on the path", content: []byte("#!/entrypoint"), mode: 0o755, change: func(p *Plugin, _ string) {
			p.Config.Entrypoint = []string{"entrypoint"}
			p.Settings.Env = []string{"PATH=/nowhere:/"}
		}, want: ""},
		{name: "not on the path", content: []byte("#!/entrypoint"), mode: 0o755, change: func(p *Plugin, _ string) {
			p.Config.Entrypoint = []string{"entrypoint"}
		}, want: "entrypoint entrypoint is not"},
		{name: "missing source", content: []byte("#!/entrypoint"), mode: 0o755, change: func(p *Plugin, _ string) {
			p.Settings.Mounts = []types.PluginMount{{Type: "bind", Source: &absent, Destination: "/data"}}
		}, want: absent + " of the mount at /data does not exist"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rootfs := filepath.Join(t.TempDir(), "rootfs")
			assert.NilError(t, os.Mkdir(rootfs, 0o755))
			p := pluginAt(rootfs, "/entrypoint")
			if tc.content != nil {
				assert.NilError(t, os.WriteFile(filepath.Join(rootfs, "entrypoint"), tc.content, tc.mode))
			}
			if tc.change != nil {
				tc.change(p, rootfs)
			}
			got := Cause(*p)
			if tc.want == "" {
				assert.Equal(t, got, "")
			}
			assert.Check(t, is.Contains(got, tc.want))
		})
	}
}

// TestCauseSearchesFewPlaces counts where Cause looks for a command.
func TestCauseSearchesFewPlaces(t *testing.T) {
	for _, tc := range []struct {
		path  string
		count int
		all   bool
	}{
		{"/bin", 1, true},
		{"a:/b::", 4, true},
		{strings.Repeat("/x:", maxCandidates-1) + "/y", maxCandidates, true},
		{strings.Repeat("/x:", 60_000), maxCandidates, false},
	} {
		snapshot := types.Plugin{Settings: types.PluginSettings{Env: []string{"PATH=" + tc.path}}}
		candidates, all := candidatesFor(snapshot, "plugin")
		assert.Check(t, is.Len(candidates, tc.count))
		assert.Check(t, is.Equal(all, tc.all))
		looked := 0
		file, _ := firstThere(func(string) string { looked++; return "/nowhere" }, candidates)
		assert.Check(t, is.Equal(file, ""))
		assert.Check(t, is.Equal(looked, tc.count))
	}
	p := pluginAt(t.TempDir(), "plugin")
	p.Settings.Env = []string{"PATH=" + strings.Repeat("/x:", 60_000)}
	assert.Check(t, is.Equal(badEntrypoint(*p), ""))
}
