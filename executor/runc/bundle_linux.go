package runc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ociVersion is what a spec is written as. Runtimes read what they know of a
// spec whatever version it claims, but crun before 1.8.2 refuses any that is
// not 1.0, and none refuses this.
const ociVersion = "1.0.2"

// bundle is the directory of one run.
type bundle string

func (b bundle) config() string  { return filepath.Join(string(b), "config.json") }
func (b bundle) record() string  { return filepath.Join(string(b), "run.json") }
func (b bundle) pidFile() string { return filepath.Join(string(b), "pid") }
func (b bundle) log() string     { return filepath.Join(string(b), "log.json") }
func (b bundle) stdout() string  { return filepath.Join(string(b), "stdout") }
func (b bundle) stderr() string  { return filepath.Join(string(b), "stderr") }

// files are all that a bundle may hold, in the order in which they are
// removed: the record says that the rest is ours, and goes last.
func (b bundle) files() []string {
	return []string{
		b.config(), b.log(), b.stdout(), b.stderr(), b.pidFile(),
		filepath.Join(string(b), ".pid"), // runc's, before it becomes pid
		b.record() + newSuffix, b.record(),
	}
}

// create makes a bundle for spec. After a crash in between, what is there is
// known as ours by its record, which comes first and need say nothing yet.
func (b bundle) create(spec specs.Spec) error {
	if err := os.Mkdir(string(b), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(b.record(), nil, 0o600); err != nil {
		return err
	}
	spec.Version = ociVersion
	config, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	if err := os.WriteFile(b.config(), config, 0o600); err != nil {
		return err
	}
	for _, fifo := range []string{b.stdout(), b.stderr()} {
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			return fmt.Errorf("make fifo %s: %w", fifo, err)
		}
	}
	return nil
}

// isOurs reports whether create made the directory. One that is empty counts:
// a crash may have left it before it had a record.
func (b bundle) isOurs() bool {
	entries, err := os.ReadDir(string(b))
	return err == nil && len(entries) == 0 || exists(b.record())
}

// remove deletes the bundle and nothing that is not ours: a directory without
// our record, or with somebody else's files in it, stays. One that is empty
// goes; a crash may have left it before it had a record.
func (b bundle) remove() error {
	if _, err := os.Lstat(b.record()); err == nil {
		for _, file := range b.files() {
			if err := ignoreMissing(os.Remove(file)); err != nil {
				return err
			}
		}
	}
	err := unix.Rmdir(string(b))
	if errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	if err := ignoreMissing(err); err != nil {
		return fmt.Errorf("remove %s: %w", b, err)
	}
	return nil
}

// ignoreMissing takes what is not there, or is somebody's file where ours
// would be a directory, for gone.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}

// pid reads the runtime's pid file; ok is false while it is absent or
// unfinished.
func (b bundle) pid() (pid int, ok bool) {
	content, err := os.ReadFile(b.pidFile())
	if err != nil {
		return 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(content)))
	return pid, err == nil && pid > 0
}

// runtimeMessage returns the last error in the runtime's log.
func (b bundle) runtimeMessage() string {
	content, err := os.ReadFile(b.log())
	if err != nil {
		return ""
	}
	message := ""
	for line := range strings.Lines(string(content)) {
		var entry struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err == nil && entry.Level == "error" {
			message = entry.Msg
		}
	}
	return message
}
