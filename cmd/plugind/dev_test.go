// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/logging"
	"github.com/dovetailhq/plugin/internal/skeleton"
	"github.com/dovetailhq/plugin/internal/socketpath"
	"github.com/dovetailhq/plugin/internal/testenv"
)

// devPatience bounds waits for a compiler.
const devPatience = 5 * time.Minute

// development is a plugind dev that runs.
type development struct {
	t         testing.TB
	source    string
	temporary string        // what plugind made is below it
	problems  chan string   // lines
	lines     chan []string // gets the plugin's output at the end
	host      string
	interrupt context.CancelFunc
	ended     chan error
	docker    *client.Client
}

// initProject writes a project of a kind.
func initProject(t testing.TB, kind string) string {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "project")
	command := newCommand()
	command.SetArgs([]string{"init", kind, directory})
	command.SetOut(io.Discard)
	assert.NilError(t, command.ExecuteContext(t.Context()))
	return directory
}

// develop runs plugind dev, and returns once it says how to reach the plugin.
func develop(t testing.TB, source string, flags ...string) *development {
	t.Helper()
	testenv.NeedsRoot(t, "runc")
	d := &development{t: t, source: source, problems: make(chan string, 1000), lines: make(chan []string, 1), ended: make(chan error, 1)}
	var err error
	d.temporary, err = os.MkdirTemp("", "d") // short, because a socket is below it
	assert.NilError(t, err)
	t.Setenv("TMPDIR", d.temporary)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	d.interrupt = cancel
	out, outEnd := io.Pipe()
	problems, problemsEnd := io.Pipe()
	go func() {
		for lines := bufio.NewScanner(problems); lines.Scan(); {
			d.problems <- lines.Text()
		}
		close(d.problems)
	}()
	go func() {
		var all []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			all = append(all, lines.Text())
		}
		d.lines <- all
	}()
	command := newCommand()
	command.SetArgs(append(append([]string{"dev"}, flags...), source))
	command.SetOut(outEnd)
	command.SetErr(problemsEnd)
	go func() {
		err := command.ExecuteContext(ctx)
		_, _ = outEnd.Close(), problemsEnd.Close()
		d.ended <- err
	}()
	t.Cleanup(d.cleanUp)
	line := d.await("docker --host ")
	d.host = strings.Fields(line)[2]
	d.docker, err = client.NewClientWithOpts(client.WithHost(d.host), client.WithVersion("1.51"))
	assert.NilError(t, err)
	return d
}

func (d *development) cleanUp() {
	d.interrupt()
	assert.Check(d.t, logging.SetLevel("info"))
	if d.docker != nil {
		assert.Check(d.t, d.docker.Close())
	}
	assert.Check(d.t, os.RemoveAll(d.temporary))
}

// await returns the next line about the plugin that contains a text.
func (d *development) await(text string) string {
	d.t.Helper()
	late := time.After(devPatience)
	var seen []string
	for {
		select {
		case line, ok := <-d.problems:
			if !ok {
				d.t.Fatalf("plugind dev ended: %v: %q", <-d.ended, seen)
			}
			if strings.Contains(line, text) {
				return line
			}
			seen = append(seen, line)
		case <-late:
			d.t.Fatalf("no line has %q: %q", text, seen)
		}
	}
}

// edit replaces a text in a file of the source.
func (d *development) edit(name, before, after string) {
	d.t.Helper()
	path := filepath.Join(d.source, name)
	content, err := os.ReadFile(path)
	assert.NilError(d.t, err)
	edited := strings.Replace(string(content), before, after, 1)
	assert.Assert(d.t, edited != string(content), "%s lacks %q", name, before)
	assert.NilError(d.t, os.WriteFile(path, []byte(edited), 0o600))
}

// status returns the plugin's status.
func (d *development) status() (status plugin.Status) {
	d.t.Helper()
	answer := get(strings.TrimPrefix(d.host, "unix://"), "/plugins/dev/status")
	assert.NilError(d.t, json.Unmarshal([]byte(answer), &status), "%s", answer)
	return status
}

// end interrupts plugind, and finds what is left. It returns the plugin's output.
func (d *development) end() []string {
	d.t.Helper()
	pid := d.status().Pid
	d.interrupt()
	assert.NilError(d.t, <-d.ended)
	if pid != 0 {
		testenv.WatchProcess(d.t, pid)()
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(d.temporary))
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(mounts), 0, "%v", mounts)
	left, err := os.ReadDir(d.temporary)
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(left), 0, "%v", left)
	return <-d.lines
}

// A project runs at once, and each change runs it again with its settings and data. An
// error is shown, and mended by the next change.
func TestDev(t *testing.T) {
	d := develop(t, initProject(t, "volume"), "--set", "MODE=700")
	d.await("ready after")
	_, err := d.docker.VolumeCreate(t.Context(), volume.CreateOptions{Driver: "dev", Name: "v"})
	assert.NilError(t, err)
	const get = "&volume.Volume{Name: request.Name}"
	d.edit("driver.go", get, get[:len(get)-1]+`, Status: map[string]any{"edited": true}}`)
	d.await("ready after")
	edited, err := d.docker.VolumeInspect(t.Context(), "v")
	assert.NilError(t, err)
	assert.DeepEqual(t, edited.Status, map[string]any{"edited": true})
	inspected, _, err := d.docker.PluginInspectWithRaw(t.Context(), "dev")
	assert.NilError(t, err)
	assert.DeepEqual(t, inspected.Settings.Env, []string{"MODE=700"})

	pid := d.status().Pid
	d.edit("driver.go", "package main", "package main\n\nbroken")
	d.await("go build: ")
	d.await("driver.go:3:1: syntax error")
	assert.Equal(t, d.status().Pid, pid, "the plugin that works was stopped")
	d.edit("driver.go", "\n\nbroken", "")
	d.edit("main.go", "	log.SetFlags(0)", `	log.Fatal("not today") //`)
	d.await("the process exited with code 1")
	d.edit("main.go", `log.Fatal("not today")`, `log.Print("at last")`)
	d.await("ready after")
	edited, err = d.docker.VolumeInspect(t.Context(), "v")
	assert.NilError(t, err)
	assert.DeepEqual(t, edited.Status, map[string]any{"edited": true})
	lines := d.end()
	assert.Check(t, slices.ContainsFunc(lines, func(line string) bool { return strings.HasSuffix(line, "at last") }), "%q", lines)
}

// The project of each kind runs, and names its interface.
func TestDevRunsEveryKind(t *testing.T) {
	implements := map[string]string{"authz": "authz", "log": "LogDriver", "metrics": "MetricsCollector", "network": "NetworkDriver", "volume": "VolumeDriver"}
	for _, kind := range skeleton.Kinds() {
		t.Run(kind, func(t *testing.T) {
			d := develop(t, initProject(t, kind))
			d.await("ready after")
			sockets, err := filepath.Glob(filepath.Join(d.temporary, "*", "run", "plugins", "*", "plugin.sock"))
			assert.NilError(t, err)
			assert.Equal(t, len(sockets), 1)
			assert.Equal(t, activate(t, sockets[0]), `{"Implements": ["`+implements[kind]+`"]}`)
			d.end()
		})
	}
}

// activate asks a plugin for its interfaces.
func activate(t testing.TB, socket string) string {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return socketpath.Connect(filepath.Dir(socket), filepath.Base(socket))
	}}
	response, err := (&http.Client{Transport: transport}).Post("http://plugin/Plugin.Activate", "application/json", strings.NewReader("{}"))
	assert.NilError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	assert.NilError(t, err)
	return strings.TrimSpace(string(answer))
}

// A mount in the temporary directory keeps its files, also if a link leads to the directory.
func TestDevKeepsWhatIsMounted(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	parent := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(parent, "link"))
	assert.NilError(t, os.Mkdir(filepath.Join(parent, "tmp"), 0o755))
	assert.NilError(t, os.Symlink("tmp", filepath.Join(parent, "link")))
	temporary, err := makeTemporary()
	assert.NilError(t, err)
	mounted := filepath.Join(temporary, "mounted")
	assert.NilError(t, os.Mkdir(mounted, 0o755))
	assert.NilError(t, unix.Mount("none", mounted, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(mounted, unix.MNT_DETACH) })
	file := filepath.Join(mounted, "file")
	assert.NilError(t, os.WriteFile(file, nil, 0o600))
	assert.ErrorContains(t, removeUnmounted(temporary), mounted+" is still mounted: unmount it")
	_, err = os.Stat(file)
	assert.NilError(t, err)
	assert.NilError(t, unix.Unmount(mounted, 0))
	assert.NilError(t, removeUnmounted(temporary))
	_, err = os.Stat(temporary)
	assert.Check(t, os.IsNotExist(err))
}

func TestDevErrors(t *testing.T) {
	source := pluginSource(t, "/plugin")
	file := filepath.Join(source, "config.json")
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"nothing":           {nil, "accepts 1 arg(s)"},
		"missing directory": {[]string{filepath.Join(source, "gone")}, "no such file or directory"},
		"a file":            {[]string{file}, "not a directory"},
		"bad host":          {[]string{"--host", "tcp://x", source}, `--host "tcp://x"`},
		"bad level":         {[]string{"--log-level", "loud", source}, `--log-level "loud"`},
	} {
		t.Run(name, func(t *testing.T) {
			temporary := t.TempDir()
			t.Setenv("TMPDIR", temporary)
			command := newCommand()
			command.SetArgs(append([]string{"dev"}, tt.args...))
			command.SetErr(io.Discard)
			assert.Check(t, is.ErrorContains(command.ExecuteContext(t.Context()), tt.want))
			left, err := os.ReadDir(temporary)
			assert.NilError(t, err)
			assert.Equal(t, len(left), 0, "%v", left)
		})
	}
}

func TestInitErrors(t *testing.T) {
	command := newCommand()
	command.SetArgs([]string{"init", "graph", filepath.Join(t.TempDir(), "x")})
	assert.ErrorContains(t, command.ExecuteContext(t.Context()), `init: kind "graph": use one of authz, log, metrics, network, volume`)
}
