// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"os"
	"os/exec"
	"testing"

	"gotest.tools/v3/assert"
)

func TestProcess(t *testing.T) {
	command := exec.Command("cat")
	input, err := command.StdinPipe()
	assert.NilError(t, err)
	assert.NilError(t, command.Start())
	pid := command.Process.Pid
	assert.Equal(t, ParentOf(t, pid), os.Getpid())
	awaitEnd := WatchProcess(t, pid)
	assert.NilError(t, input.Close())
	awaitEnd()
	assert.NilError(t, command.Wait())
	WatchProcess(t, pid)()
}
