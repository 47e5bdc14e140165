//go:build linux

package containerd_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
)

// exits is an exit handler that lets a test wait.
type exits chan string

func (e exits) HandleExitEvent(id string) error {
	e <- id
	return nil
}

func (e exits) await(t testing.TB, want string) {
	t.Helper()
	select {
	case got := <-e:
		assert.Equal(t, got, want)
	case <-time.After(patience):
		t.Fatalf("the exit of %s was not reported within %v", want, patience)
	}
}

// output is a stream that is read when it was closed.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
	closed  chan struct{}
}

func newOutput() *output {
	return &output{changed: make(chan struct{}, 1), closed: make(chan struct{})}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) Close() error {
	close(o.closed)
	return nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// all returns everything that was written, once the stream is closed.
func (o *output) all(t testing.TB) string {
	t.Helper()
	select {
	case <-o.closed:
	case <-time.After(patience):
		t.Fatalf("the stream was not closed within %v", patience)
	}
	return o.String()
}

// awaitText waits until exactly want was written.
func (o *output) awaitText(t testing.TB, want string) {
	t.Helper()
	limit := time.After(patience)
	for o.String() != want {
		select {
		case <-o.changed:
		case <-limit:
			t.Fatalf("%q was not written within %v, but %q", want, patience, o)
		}
	}
}

func newID() string {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// inNamespace returns a context for the calls of the tests themselves.
func inNamespace(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), namespace), patience)
	t.Cleanup(cancel)
	return ctx
}

// assertNothingLeft fails unless neither containerd nor the executor's
// directory holds anything of any run.
func (d *daemon) assertNothingLeft(root string) {
	d.t.Helper()
	ctx := inNamespace(d.t)
	containers, err := d.client.ContainerService().List(ctx)
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(containers), 0, "containers")
	running, err := d.client.TaskService().List(ctx, &tasks.ListTasksRequest{})
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(running.Tasks), 0, "tasks: %v", running.Tasks)
	leases, err := d.client.LeasesService().List(ctx)
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(leases), 0, "leases")
	entries, err := os.ReadDir(root)
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(entries), 0, "%s holds %v", root, entries)
}

// assertNothingLeftOf is assertNothingLeft for one run.
func (d *daemon) assertNothingLeftOf(t *testing.T, id, root string) {
	t.Helper()
	ctx := inNamespace(t)
	_, err := d.client.ContainerService().Get(ctx, id)
	assert.Assert(t, errdefs.IsNotFound(err), "container: %v", err)
	_, err = d.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
	assert.Assert(t, errdefs.IsNotFound(errgrpc.ToNative(err)), "task: %v", err)
	entries, err := os.ReadDir(root)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), 0, "%s holds %v", root, entries)
	assert.Equal(t, len(processesOf(t, id)), 0, "%q", processesOf(t, id))
}

// trigger makes a fifo in rootfs that a program's step waits for.
func trigger(t testing.TB, rootfs, name string) (pull func()) {
	t.Helper()
	path := filepath.Join(rootfs, name)
	assert.NilError(t, unix.Mkfifo(path, 0o600))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { file.Close() })
	return func() {
		t.Helper()
		_, err := file.Write([]byte{1})
		assert.NilError(t, err)
	}
}

// watchProcess returns a function that waits for the end of a living process.
func watchProcess(t testing.TB, pid int) (awaitDeath func()) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, unix.O_NONBLOCK)
	assert.NilError(t, err)
	file := os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() { file.Close() })
	return func() {
		t.Helper()
		assert.NilError(t, file.SetReadDeadline(time.Now().Add(patience)))
		connection, err := file.SyscallConn()
		assert.NilError(t, err)
		assert.NilError(t, connection.Read(func(fd uintptr) bool {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(fds, 0)
			return err == nil && n == 1
		}))
	}
}

func parentOf(t testing.TB, pid int) int {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	assert.NilError(t, err)
	_, rest, ok := strings.Cut(string(content), "PPid:")
	assert.Assert(t, ok)
	var parent int
	_, err = fmt.Sscan(rest, &parent)
	assert.NilError(t, err)
	return parent
}

// processesOf returns the arguments of all processes that have id in them,
// except shims, which may take a moment to end.
func processesOf(t *testing.T, id string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	assert.NilError(t, err)
	for _, file := range files {
		// A process may be gone by now; a zombie has no arguments.
		arguments, _ := os.ReadFile(file)
		if bytes.Contains(arguments, []byte("id="+id)) {
			found = append(found, string(arguments))
		}
	}
	return found
}
