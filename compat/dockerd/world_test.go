// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dockerd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Where things are inside of a world.
const (
	programs = "/run/programs" // what was built for the tests
	work     = "/tmp/story"    // the directory of a story's commands
)

// inWorld names the variable that makes the test program play a story instead of
// running tests. Its value is a storyRun, as JSON.
const inWorld = "DOVETAIL_STORY_RUN"

// storyRun is a story and the daemon that "daemon start" starts.
type storyRun struct {
	Story  string
	Daemon string // stock or dovetail
	Long   string // a story that continues this one, or none
	Nodes  []furnishing
	Rounds int // measures the daemons that often, instead of a story
}

// runResult is what the test program writes to descriptor 3 after a storyRun.
type runResult struct {
	Records []record
	Figures figures
	Failure string // of the story, or of the harness
}

func TestMain(m *testing.M) {
	if encoded, ok := os.LookupEnv(inNode); ok {
		serveNode(encoded)
		return
	}
	encoded, ok := os.LookupEnv(inWorld)
	if !ok {
		os.Exit(m.Run())
	}
	var run storyRun
	result := runResult{}
	err := json.Unmarshal([]byte(encoded), &run)
	switch {
	case err != nil:
	case run.Rounds > 0:
		result.Figures, err = measure(run.Rounds)
	default:
		result.Records, err = run.play()
	}
	if err != nil {
		result.Failure = err.Error()
	}
	if err := json.NewEncoder(os.NewFile(3, "result")).Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// worldLimit bounds a storyRun, and each round of measuring. Its processes die with
// its pid namespace.
const worldLimit = 40 * time.Minute

// run plays a story in a new world with the programs of a build, and returns its
// result. It fails the test if the story failed.
func (r storyRun) run(t *testing.T, build build) runResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), worldLimit*time.Duration(max(1, r.Rounds)))
	defer cancel()
	encoded, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	command := inNamespaces(ctx, inWorld+"="+string(encoded), "DOVETAIL_PROGRAMS="+string(build))
	command.ExtraFiles = []*os.File{write}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err = command.Start()
	write.Close()
	if err != nil {
		t.Fatalf("enter namespaces, which takes root: %v", err)
	}
	var result runResult
	decoded := json.NewDecoder(read).Decode(&result)
	err = command.Wait()
	if result.Failure != "" || decoded != nil || err != nil {
		t.Fatalf("%+v: %s\n%v %v\n%s\nsteps before: %+v", r, result.Failure, decoded, err, output.String(), result.Records)
	}
	return result
}

// inNamespaces runs this program again, in namespaces of its own.
func inNamespaces(ctx context.Context, environment ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "/proc/self/exe")
	command.Env = append(append(os.Environ(), "DOCKER_HOST=", "DOCKER_CONTEXT="), environment...)
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	return command
}

// furnish prepares the namespaces of this process for a world. The process is
// process 1 of its pid namespace. Directories of another world that this world
// shares are keyed by their places here.
func furnish(hostname string, shared map[string]string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// Before /run and /tmp are hidden: the directories may be below them.
	held, err := hold(shared)
	if err != nil {
		return err
	}
	defer held.close()
	if err := syscall.Sethostname([]byte(hostname)); err != nil {
		return err
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := syscall.Mount("run", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	// /sys shows the network devices of the namespace that mounted it.
	if err := bind("/sys/fs/cgroup", "/run/cgroup"); err != nil {
		return err
	}
	if err := syscall.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if err := bind("/run/cgroup", "/sys/fs/cgroup"); err != nil {
		return err
	}
	if err := syscall.Mount("tmp", "/tmp", "tmpfs", 0, "mode=1777"); err != nil {
		return err
	}
	if err := held.bind(); err != nil {
		return err
	}
	if err := os.CopyFS("/run/etc", os.DirFS("/etc")); err != nil {
		return fmt.Errorf("copy /etc: %w", err)
	}
	if err := bind("/run/etc", "/etc"); err != nil {
		return err
	}
	os.Clearenv()
	os.Setenv("PATH", programs+"/stock-bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	os.Setenv("HOME", "/tmp/home")
	os.Setenv("DOCKER_CLI_HINTS", "false")
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("set up lo: %w: %s", err, out)
	}
	return os.MkdirAll(work, 0o755)
}

// held are directories by where they are to be bound.
type held map[string]*os.File

func hold(directories map[string]string) (held, error) {
	h := held{}
	for target, source := range directories {
		directory, err := os.Open(source)
		if err != nil {
			h.close()
			return nil, err
		}
		h[target] = directory
	}
	return h, nil
}

func (h held) bind() error {
	for target, directory := range h {
		if err := bind(fmt.Sprintf("/proc/self/fd/%d", directory.Fd()), target); err != nil {
			return err
		}
	}
	return nil
}

func (h held) close() {
	for _, directory := range h {
		_ = directory.Close()
	}
}

func bind(source, target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(source, target, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}
	return nil
}

// play runs the steps of a story until a step fails.
func (r storyRun) play() (records []record, err error) {
	steps, err := readStory(r.Story)
	if err != nil {
		return nil, err
	}
	if r.Long != "" {
		more, err := readStory(r.Long)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	if err := furnish("dovetail", map[string]string{programs: os.Getenv("DOVETAIL_PROGRAMS")}); err != nil {
		return nil, err
	}
	os.Setenv("DOVETAIL_DAEMON", r.Daemon) // for the tools
	w := &world{daemon: r.Daemon, flags: []string{"--live-restore"}}
	defer w.end()
	if err := w.begin(); err != nil {
		return nil, errors.Join(err, w.logs())
	}
	if err := w.beginNodes(r.Nodes); err != nil {
		return nil, err
	}
	for _, s := range steps {
		seen, err := w.everywhere(s)
		records = append(records, seen...)
		if err != nil {
			return records, fmt.Errorf("%s: %w\n%w", s, err, w.logs())
		}
	}
	return records, nil
}

// commandLimit bounds a command, and how long one is repeated.
const commandLimit = 10 * time.Minute

// do runs one step.
func (w *world) do(s step) (*record, error) {
	switch s.kind {
	case "daemon":
		return nil, w.control(s.command)
	case "~":
		return nil, await(s.command)
	}
	output, code, err := shell(s.command)
	if err != nil {
		return nil, err
	}
	seen := &record{Step: s.String(), Output: output, Code: code}
	if s.kind == "%" {
		seen.Output = ""
	}
	if failed := code != 0; failed != (s.kind == "!") {
		return seen, fmt.Errorf("exit code %d: %s", code, output)
	}
	return seen, nil
}

func shell(line string) (output string, code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	command := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	command.Dir = work
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	command.WaitDelay = time.Second
	err = command.Run()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return out.String(), -1, fmt.Errorf("not done after %s: %s", commandLimit, out.String())
	case errors.As(err, &ended):
		return out.String(), ended.ExitCode(), nil
	}
	return out.String(), 0, err
}

// await repeats a command until it succeeds. It polls because a shell can't wait
// for these events.
func await(line string) error {
	const pause = 50 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	deadline := time.Now().Add(commandLimit)
	for {
		output, code, err := shell(line)
		if err == nil && code == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no success in %s: %s %w", commandLimit, output, err)
		}
		<-ticker.C
	}
}

// build is the directory of a build: stock-bin, dovetail-bin, plugins, and sshfs, which
// is the build context of examples/sshfs.
type build string

var buildPlugins sync.Once

// theBuild finds the build of "make dockerd", and builds the plugins next to it.
func theBuild(t *testing.T) build {
	t.Helper()
	directory := os.Getenv("DOVETAIL_DOCKERD")
	if directory == "" {
		t.Fatal("DOVETAIL_DOCKERD is not set: run make test-dockerd, which builds the daemons")
	}
	buildPlugins.Do(func() {
		command := exec.Command("go", "build", "-o", filepath.Join(directory, "plugins"), "./plugins")
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("build plugins: %v\n%s", err, out)
		}
		command = exec.Command("make", "-C", "../../examples/sshfs", "CONTEXT="+filepath.Join(directory, "sshfs"))
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("build examples/sshfs: %v\n%s", err, out)
		}
	})
	return build(directory)
}
