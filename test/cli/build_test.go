// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// built has the programs of all scenarios, built once.
type built struct {
	bin     string // directory with docker and plugind
	context string // build context of examples/volume
	sshfs   string // build context of examples/sshfs
}

var build = sync.OnceValues(buildAll)

// tools returns the programs of scenarios. Scenarios mount, and so need root
// and runc.
func tools(t testing.TB) built {
	t.Helper()
	testenv.NeedsRoot(t, "running plugins")
	for _, command := range []string{"runc", "containerd", "curl", "sshfs", "sshd"} {
		if _, err := exec.LookPath(command); err != nil {
			t.Fatalf("%s is missing: make test installs it", command)
		}
	}
	all, err := build()
	assert.NilError(t, err)
	return all
}

// scratch is the directory of the programs; TestMain removes it.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(withScratch(m.Run))
}

func withScratch(run func() int) int {
	var err error
	if scratch, err = os.MkdirTemp("", "cli"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	return run()
}

func buildAll() (built, error) {
	all := built{bin: filepath.Join(scratch, "bin"), context: filepath.Join(scratch, "context"), sshfs: filepath.Join(scratch, "sshfs")}
	return all, errors.Join(
		os.Mkdir(all.bin, 0o755),
		command("", "go", "build", "-race", "-o", filepath.Join(all.bin, "plugind"), "../../cmd/plugind"),
		command("../../examples/volume", "make", "CONTEXT="+all.context),
		command("../../examples/sshfs", "make", "CONTEXT="+all.sshfs),
		provideDocker(filepath.Join(all.bin, "docker")),
	)
}

// provideDocker links the machine's docker client, or builds one.
func provideDocker(path string) error {
	if docker, err := exec.LookPath("docker"); err == nil {
		return os.Symlink(docker, path)
	}
	return command("../../tools", "go", "build", "-o", path, "./docker")
}

func command(directory, name string, args ...string) error {
	run := exec.Command(name, args...)
	run.Dir = directory
	var output bytes.Buffer
	run.Stdout, run.Stderr = &output, &output
	if err := run.Run(); err != nil {
		return fmt.Errorf("%s %q: %w: %s", name, args, err, output.Bytes())
	}
	return nil
}
