// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugintest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// notebook records exits and lets a test wait for them.
type notebook struct{ exits chan string }

func newNotebook(e *plugintest.Executor) notebook {
	n := notebook{exits: make(chan string, 16)}
	e.HandleExits(func(id string) { n.exits <- id })
	return n
}

func (n notebook) await(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-n.exits:
		assert.Equal(t, got, want)
	case <-time.After(10 * time.Second):
		t.Fatalf("no exit of %s was reported", want)
	}
}

// buffer is a stream that is read after its close.
type buffer struct {
	text   strings.Builder
	closed chan struct{}
	once   sync.Once
}

func newBuffer() *buffer { return &buffer{closed: make(chan struct{})} }

func (b *buffer) Write(p []byte) (int, error) { return b.text.Write(p) }

func (b *buffer) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func (b *buffer) all() string {
	<-b.closed
	return b.text.String()
}

func discard() io.WriteCloser { return newBuffer() }

// specIn returns a spec like a manager's, with sockets in directory.
func specIn(directory string) specs.Spec {
	return specs.Spec{Mounts: []specs.Mount{{Destination: "/run/docker/plugins", Source: directory, Type: "bind"}}}
}

// start starts a run that ends with the test.
func start(t *testing.T, e *plugintest.Executor, id string) (directory string) {
	t.Helper()
	directory = t.TempDir()
	assert.NilError(t, e.Create(id, specIn(directory), discard(), discard()))
	t.Cleanup(e.KillAll)
	return directory
}

func activate(t *testing.T, socket string) (status int, body string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Post("http://plugin/Plugin.Activate", "", nil)
	assert.NilError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	assert.NilError(t, err)
	return response.StatusCode, string(content)
}

func TestAPluginServesWhenCreateReturns(t *testing.T) {
	tests := []struct {
		name      string
		behaviour plugintest.Behaviour
		socket    string
		status    int
		body      string
	}{
		{"by default", plugintest.Behaviour{}, "plugin.sock", 200, `{"Implements":["VolumeDriver"]}` + "\n"},
		{"with given interfaces", plugintest.Behaviour{Implements: []string{"NetworkDriver", "IpamDriver"}}, "plugin.sock", 200, `{"Implements":["NetworkDriver","IpamDriver"]}` + "\n"},
		{"on a socket of another name", plugintest.Behaviour{Socket: "flocker.sock"}, "flocker.sock", 200, `{"Implements":["VolumeDriver"]}` + "\n"},
		{"with a handler", plugintest.Behaviour{Handler: http.NotFoundHandler()}, "plugin.sock", 404, "404 page not found\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			executortest.VerifyNoLeaks(t)
			e := &plugintest.Executor{Behaviour: test.behaviour}
			directory := start(t, e, "p")
			status, body := activate(t, filepath.Join(directory, test.socket))
			assert.Equal(t, status, test.status)
			assert.Equal(t, body, test.body)
		})
	}
}

func TestSocketsOfEndedRuns(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	e := &plugintest.Executor{}
	n := newNotebook(e)
	directory := start(t, e, "p")
	socket := filepath.Join(directory, "plugin.sock")

	assert.NilError(t, e.Exit("p", 2))
	n.await(t, "p")
	_, err := os.Stat(socket)
	assert.NilError(t, err, "a crash took the socket along")
	_, err = net.Dial("unix", socket)
	assert.Assert(t, errors.Is(err, syscall.ECONNREFUSED), "%v", err)

	assert.NilError(t, e.Create("p", specIn(directory), discard(), discard()))
	activate(t, socket)
	assert.NilError(t, e.Signal("p", syscall.SIGTERM))
	n.await(t, "p")
	_, err = os.Stat(socket)
	assert.Assert(t, errors.Is(err, os.ErrNotExist), "a peaceful end left the socket: %v", err)
}

func TestCreateRefuses(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "none")
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	assert.NilError(t, os.MkdirAll(deep, 0o700))
	cause := errors.New("no memory")
	tests := []struct {
		name      string
		behaviour plugintest.Behaviour
		spec      specs.Spec
		want      string
		is        func(error) bool
	}{
		{"a given error", plugintest.Behaviour{CreateError: cause}, specIn(deep), "no memory", func(err error) bool { return errors.Is(err, cause) }},
		{"a spec without a mount for sockets", plugintest.Behaviour{}, specs.Spec{}, "mounts nothing at /run/docker/plugins", errdefs.IsInvalidArgument},
		{"a socket name that is too long", plugintest.Behaviour{Socket: strings.Repeat("s", 100)}, specIn(deep), "the system allows 107", errdefs.IsInvalidArgument},
		{"a missing directory", plugintest.Behaviour{}, specIn(nowhere), "no such file", func(err error) bool { return errors.Is(err, os.ErrNotExist) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := &plugintest.Executor{Behaviour: test.behaviour}
			stdout, stderr := newBuffer(), newBuffer()
			err := e.Create("p", test.spec, stdout, stderr)
			assert.ErrorContains(t, err, test.want)
			assert.Assert(t, test.is(err), "class of %v", err)
			assert.Equal(t, stdout.all()+stderr.all(), "")
			assert.Equal(t, e.Started("p"), 0)
		})
	}
}

func TestCreateOfALivingRunIsAConflict(t *testing.T) {
	e := &plugintest.Executor{}
	directory := start(t, e, "p")
	err := e.Create("p", specIn(directory), discard(), discard())
	assert.Assert(t, errdefs.IsConflict(err), "%v", err)
	alive, err := e.IsRunning("p")
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.Equal(t, e.Started("p"), 1)
}

func TestAPluginThatNeverListens(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	e := &plugintest.Executor{Behaviour: plugintest.Behaviour{NeverListens: true}}
	n := newNotebook(e)
	directory := start(t, e, "p")
	entries, err := os.ReadDir(directory)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), 0)
	assert.NilError(t, e.Signal("p", syscall.SIGTERM))
	n.await(t, "p")
}

func TestAPluginThatListensLater(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	event := make(chan struct{})
	e := &plugintest.Executor{Behaviour: plugintest.Behaviour{ListenAfter: event}}
	n := newNotebook(e)
	directory := start(t, e, "p")
	entries, err := os.ReadDir(directory)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), 0)

	close(event)
	awaitFile(t, directory, "plugin.sock")
	activate(t, filepath.Join(directory, "plugin.sock"))
	assert.NilError(t, e.Signal("p", syscall.SIGTERM))
	n.await(t, "p")
}

func TestAPluginThatCannotListenLater(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	event := make(chan struct{})
	e := &plugintest.Executor{Behaviour: plugintest.Behaviour{ListenAfter: event}}
	n := newNotebook(e)
	stderr := newBuffer()
	nowhere := filepath.Join(t.TempDir(), "none")
	assert.NilError(t, e.Create("p", specIn(nowhere), discard(), stderr))
	close(event)
	n.await(t, "p")
	assert.Assert(t, strings.Contains(stderr.all(), nowhere+"/plugin.sock"), stderr.all())
	code, _, ok := e.LastExit("p")
	assert.Assert(t, ok)
	assert.Equal(t, code, 1)
}

func TestAPluginThatEndsAtOnce(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	e := &plugintest.Executor{Behaviour: plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{
		Code: 137, OOMKilled: true, Stdout: "starting\n", Stderr: "out of luck\n",
	}}}
	n := newNotebook(e)
	stdout, stderr := newBuffer(), newBuffer()
	assert.NilError(t, e.Create("p", specIn(t.TempDir()), stdout, stderr))
	n.await(t, "p")
	assert.Equal(t, stdout.all(), "starting\n")
	assert.Equal(t, stderr.all(), "out of luck\n")
	code, oomKilled, ok := e.LastExit("p")
	assert.Assert(t, ok)
	assert.Assert(t, oomKilled)
	assert.Equal(t, code, 137)
}

func TestAPluginThatIgnoresSIGTERM(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	e := &plugintest.Executor{Behaviour: plugintest.Behaviour{IgnoresSIGTERM: true}}
	n := newNotebook(e)
	directory := start(t, e, "p")
	for range 20 {
		assert.NilError(t, e.Signal("p", syscall.SIGTERM))
	}
	activate(t, filepath.Join(directory, "plugin.sock"))
	assert.NilError(t, e.Signal("p", syscall.SIGKILL))
	n.await(t, "p")
	code, _, _ := e.LastExit("p")
	assert.Equal(t, code, 137)
}

func TestChoosePicksByAttempt(t *testing.T) {
	e := &plugintest.Executor{Choose: func(id string, attempt int, _ specs.Spec) plugintest.Behaviour {
		if attempt == 0 {
			return plugintest.Behaviour{CreateError: errors.New("not yet " + id)}
		}
		return plugintest.Behaviour{}
	}}
	t.Cleanup(e.KillAll)
	spec := specIn(t.TempDir())
	spec.Hostname = "second"
	assert.ErrorContains(t, e.Create("p", specIn(t.TempDir()), discard(), discard()), "not yet p")
	assert.NilError(t, e.Create("p", spec, discard(), discard()))
	assert.Equal(t, e.Started("p"), 1)
	assert.Equal(t, e.Specs("p")[0].Hostname, "second")
	assert.Equal(t, e.Started("q"), 0)
}
