// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc

import (
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// TestAFrozenProcessIsKilled kills a process in a frozen cgroup, as runc kill does.
func TestAFrozenProcessIsKilled(t *testing.T) {
	testenv.NeedsRoot(t, "freezing a cgroup")
	command, _ := child(t, "cat")
	p, err := openProcess(command.Process.Pid)
	assert.NilError(t, err)
	defer p.close()
	freeze(t, p.PID)
	limit, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	assert.NilError(t, p.kill(limit))
	assert.ErrorContains(t, command.Wait(), "killed")
}

// TestAFrozenDescendantHindersNoEnd kills the init of a pid namespace with a process
// in a frozen cgroup, as of a paused container in a plugin.
func TestAFrozenDescendantHindersNoEnd(t *testing.T) {
	testenv.NeedsRoot(t, "freezing a cgroup")
	command := exec.Command("sh", "-c", "sleep 1000 & echo; wait")
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	said, err := command.StdoutPipe()
	assert.NilError(t, err)
	assert.NilError(t, command.Start())
	_, err = said.Read(make([]byte, 1))
	assert.NilError(t, err)
	p, err := openProcess(command.Process.Pid)
	assert.NilError(t, err)
	defer p.close()
	below := descendants(p.PID)
	assert.Equal(t, len(below), 1)
	freeze(t, below[0])
	limit, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	assert.NilError(t, p.kill(limit))
	assert.ErrorContains(t, command.Wait(), "killed")
}

// freeze moves process pid to a new cgroup and freezes that.
func freeze(t *testing.T, pid int) {
	t.Helper()
	controllers, file, frozen, thawed := freezer, "freezer.state", "FROZEN", "THAWED"
	if hierarchyMount(freezer).mountpoint == "" {
		controllers, file, frozen, thawed = "", "cgroup.freeze", "1", "0"
	}
	parent := hierarchyMount(controllers).file(membership(os.Getpid())[controllers], "")
	group := filepath.Join(parent, "frozen-"+rand.Text())
	assert.NilError(t, os.Mkdir(group, 0o755))
	t.Cleanup(func() {
		assert.Check(t, os.WriteFile(filepath.Join(group, file), []byte(thawed), 0)) // a failed test ends as well
		assert.Check(t, os.Remove(group))
	})
	assert.NilError(t, os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
	assert.NilError(t, os.WriteFile(filepath.Join(group, file), []byte(frozen), 0))
}
