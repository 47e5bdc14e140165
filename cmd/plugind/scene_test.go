// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/client"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// patience bounds waits for events that should come at once.
const patience = time.Minute

// scene has what a series of plugind processes share: a plugin, run by a real
// runtime, and gates to stop at.
type scene struct {
	gate
	t      testing.TB
	probe  string // the rootfs with the plugin's program
	docker *client.Client
	// wrapper is a command that runs plugind, if set.
	wrapper []string
	daemon  *exec.Cmd
	log     bytes.Buffer
	up      chan struct{} // gets an item when the daemon listens
	ready   chan struct{} // gets an item when the plugin is ready
	ended   chan error    // gets the result of the process
	result  chan error    // gets the result of a call in the background

	notices, permits *os.File // the test's ends of the gates' fifos
	id               string
}

func newScene(t testing.TB, probe, containerd string, liveRestore bool) *scene {
	t.Helper()
	directory, err := os.MkdirTemp("", "k") // short, because sockets are below it
	assert.NilError(t, err)
	s := &scene{t: t, probe: probe, gate: gate{Directory: directory, Containerd: containerd, LiveRestore: liveRestore}}
	assert.NilError(t, os.Mkdir(filepath.Join(directory, "gates"), 0o700))
	s.notices, s.permits = s.fifo(s.reached()), s.fifo(s.leave())
	s.docker, err = client.NewClientWithOpts(client.WithHost("unix://"+s.socket()), client.WithVersion("1.51"))
	assert.NilError(t, err)
	t.Cleanup(s.end)
	return s
}

func (s *scene) fifo(path string) *os.File {
	s.t.Helper()
	assert.NilError(s.t, unix.Mkfifo(path, 0o600))
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	assert.NilError(s.t, err)
	return file
}

// launch starts a plugind that stops at a gate, if any, and does not wait for
// it.
func (s *scene) launch(at string) {
	s.t.Helper()
	g := s.gate
	g.At = at
	described, err := json.Marshal(g)
	assert.NilError(s.t, err)
	command := append(slices.Clone(s.wrapper), os.Args[0])
	s.daemon = exec.Command(command[0], command[1:]...)
	s.daemon.Env = append(os.Environ(), gateVariable+"="+string(described))
	stderr, err := s.daemon.StderrPipe()
	assert.NilError(s.t, err)
	s.up, s.ready, s.ended = make(chan struct{}, 1), make(chan struct{}, 10), make(chan error, 1)
	assert.NilError(s.t, s.daemon.Start())
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			fmt.Fprintln(&s.log, lines.Text())
			switch {
			case strings.Contains(lines.Text(), "plugind is listening"):
				s.up <- struct{}{}
			case strings.Contains(lines.Text(), "plugin is ready"):
				s.ready <- struct{}{}
			}
		}
		s.ended <- s.daemon.Wait()
	}()
}

// start returns once the plugind serves.
func (s *scene) start(at string) {
	s.t.Helper()
	s.launch(at)
	s.await(s.up, "plugind does not serve")
}

// awaitReady returns once the plugin is ready. A plugin is ready before plugind
// serves, unless its first start failed.
func (s *scene) awaitReady() {
	s.t.Helper()
	s.await(s.ready, "the plugin is not ready")
}

func (s *scene) await(event chan struct{}, failure string) {
	s.t.Helper()
	select {
	case <-event:
	case err := <-s.ended:
		s.ended <- err
		s.t.Fatalf("%s: plugind ended: %v", failure, err)
	case <-time.After(patience):
		s.t.Fatal(failure)
	}
}

// inBackground makes a call that a gate, or the end of plugind, blocks.
func (s *scene) inBackground(call func() error) {
	s.result = make(chan error, 1)
	go func() { s.result <- call() }()
}

// askToEnd begins a shutdown of plugind.
func (s *scene) askToEnd() {
	s.t.Helper()
	assert.NilError(s.t, s.daemon.Process.Signal(syscall.SIGTERM))
}

// finish sends the daemon a signal and waits for its end.
func (s *scene) finish(signal syscall.Signal) error {
	s.t.Helper()
	assert.NilError(s.t, s.daemon.Process.Signal(signal))
	return s.awaitFinish()
}

// awaitFinish waits for the end of the daemon.
func (s *scene) awaitFinish() error {
	s.t.Helper()
	select {
	case err := <-s.ended:
		s.daemon = nil
		return err
	case <-time.After(patience):
		s.t.Fatal("plugind does not end")
		return nil
	}
}

func (s *scene) kill() {
	s.t.Helper()
	assert.ErrorContains(s.t, s.finish(syscall.SIGKILL), "killed")
}

// awaitGate waits until a gate is reached.
func (s *scene) awaitGate() {
	s.t.Helper()
	assert.NilError(s.t, s.notices.SetReadDeadline(time.Now().Add(patience)))
	_, err := s.notices.Read(make([]byte, 1))
	assert.NilError(s.t, err)
}

// openGate lets present and later processes pass the gate.
func (s *scene) openGate() {
	s.t.Helper()
	_, err := s.permits.Write(bytes.Repeat([]byte("\n"), 10))
	assert.NilError(s.t, err)
}

// create installs the plugin. Its program performs steps before it listens.
func (s *scene) create(steps ...string) {
	s.t.Helper()
	rootfs := s.probe
	gates := filepath.Join(s.Directory, "gates")
	steps = append(steps, "listen=/run/docker/plugins/plugin.sock", "wait=")
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Entrypoint = executortest.Spec(rootfs, steps...).Process.Args
	config.PropagatedMount = "/volumes"
	config.Mounts = []types.PluginMount{{Name: "gates", Type: "bind", Source: &gates, Destination: "/gates", Options: []string{"rbind"}}}
	program, err := os.ReadFile(filepath.Join(rootfs, config.Entrypoint[0]))
	assert.NilError(s.t, err)
	buildContext := plugintest.BuildContext(config, map[string]string{config.Entrypoint[0]: string(program)})
	assert.NilError(s.t, s.docker.PluginCreate(s.t.Context(), buildContext, types.PluginCreateOptions{RepoName: "p"}))
	s.id = s.inspect().ID
}

func (s *scene) inspect() *types.Plugin {
	s.t.Helper()
	p, _, err := s.docker.PluginInspectWithRaw(s.t.Context(), "p")
	assert.NilError(s.t, err)
	return p
}

func (s *scene) enable() error {
	return s.docker.PluginEnable(s.t.Context(), "p", types.PluginEnableOptions{})
}

func (s *scene) disable() error {
	return s.docker.PluginDisable(s.t.Context(), "p", types.PluginDisableOptions{})
}

func (s *scene) remove() error {
	return s.docker.PluginRemove(s.t.Context(), "p", types.PluginRemoveOptions{Force: true})
}

// pid returns the process id of the plugin's init, or 0.
func (s *scene) pid() int {
	s.t.Helper()
	var status plugin.Status
	answer := get(s.socket(), "/plugins/p/status")
	assert.NilError(s.t, json.Unmarshal([]byte(answer), &status), "%s", answer)
	assert.Equal(s.t, status.State == "running", status.Pid != 0, "%s", answer)
	return status.Pid
}

// check finds leftovers and contradictions in the root and the exec root.
func (s *scene) check() {
	s.t.Helper()
	assert.NilError(s.t, plugintest.CheckRoot(filepath.Join(s.Directory, "root", "plugins"), plugintest.RootCheck{
		ExecRoot: filepath.Join(s.execRoot(), "plugins"),
	}))
}

// programs returns the plugin's own processes: those that have the gates in
// their root directory.
func (s *scene) programs() []int {
	s.t.Helper()
	ours, err := os.Stat(filepath.Join(s.Directory, "gates"))
	assert.NilError(s.t, err)
	return s.processes("root/gates", func(theirs string) bool {
		found, err := os.Stat(theirs)
		return err == nil && os.SameFile(ours, found)
	})
}

// attendants returns the runtimes' processes for the plugin: those with its ID
// in their arguments.
func (s *scene) attendants() []int {
	s.t.Helper()
	return s.processes("cmdline", func(file string) bool {
		arguments, _ := os.ReadFile(file)
		return bytes.Contains(arguments, []byte(s.id))
	})
}

// processes returns the processes whose file in proc(5) matches.
func (s *scene) processes(file string, match func(path string) bool) (found []int) {
	s.t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/" + file)
	assert.NilError(s.t, err)
	for _, path := range paths {
		if match(path) {
			pid, err := strconv.Atoi(strings.Split(path, "/")[2])
			assert.NilError(s.t, err)
			found = append(found, pid)
		}
	}
	return found
}

// awaitNothingLeft returns once the disabled plugin has left nothing except its
// files. containerd takes its time to clear up after a plugind that was killed.
func (s *scene) awaitNothingLeft() {
	s.t.Helper()
	for _, pid := range slices.Concat(s.attendants(), s.programs()) {
		testenv.WatchProcess(s.t, pid)()
	}
	assert.NilError(s.t, filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == s.id {
			s.t.Errorf("cgroup %s is left", path)
		}
		return nil
	}))
	for _, directory := range []string{"plugins", "runtime/bundles", "runtime/runtime", "containerd"} {
		left, err := os.ReadDir(filepath.Join(s.execRoot(), directory))
		assert.Assert(s.t, err == nil || errors.Is(err, os.ErrNotExist), "%v", err)
		left = slices.DeleteFunc(left, func(entry fs.DirEntry) bool { return strings.HasPrefix(entry.Name(), ".lock-") })
		assert.Equal(s.t, len(left), 0, "%s holds %v", directory, left)
	}
	s.check()
}

// stop ends plugind cleanly and checks that nothing runs or stays mounted.
func (s *scene) stop() {
	s.t.Helper()
	assert.NilError(s.t, s.finish(syscall.SIGTERM))
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(s.Directory))
	assert.NilError(s.t, err)
	assert.Equal(s.t, len(mounts), 0, "%v", mounts)
}

// end cleans up, also after a test that failed.
func (s *scene) end() {
	if s.daemon != nil {
		_ = s.daemon.Process.Kill()
		<-s.ended
	}
	if s.t.Failed() {
		s.t.Logf("plugind said:\n%s", s.log.Bytes())
	}
	for _, pid := range s.programs() {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	mounts, _ := mountinfo.GetMounts(mountinfo.PrefixFilter(s.Directory))
	for _, mount := range slices.Backward(mounts) {
		_ = unix.Unmount(mount.Mountpoint, unix.MNT_DETACH)
	}
	assert.Check(s.t, s.docker.Close())
	assert.Check(s.t, errors.Join(s.notices.Close(), s.permits.Close()))
	assert.Check(s.t, os.RemoveAll(s.Directory))
}
