// SPDX-License-Identifier: Apache-2.0

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

// ociVersion is the version in written specs. Runtimes read the fields that they
// know whatever the version, but crun before 1.8.2 refuses versions other than
// 1.0, and no runtime refuses this version.
const ociVersion = "1.0.2"

// bundle is the directory of one run.
type bundle string

func (b bundle) config() string  { return filepath.Join(string(b), "config.json") }
func (b bundle) record() string  { return filepath.Join(string(b), "run.json") }
func (b bundle) pidFile() string { return filepath.Join(string(b), "pid") }
func (b bundle) log() string     { return filepath.Join(string(b), "log.json") }
func (b bundle) stdout() string  { return filepath.Join(string(b), "stdout") }
func (b bundle) stderr() string  { return filepath.Join(string(b), "stderr") }

// files are all files of a bundle, in the order in which they are removed. The
// record goes last, because it marks the directory as a bundle of this package.
func (b bundle) files() []string {
	return []string{
		b.config(), b.log(), b.stdout(), b.stderr(), b.pidFile(),
		filepath.Join(string(b), ".pid"), // runc's, before it becomes pid
		b.record() + newSuffix, b.record(),
	}
}

// create makes a bundle for spec. It writes the record first, still empty, so that
// after a crash the directory is recognised as a bundle of this package.
func (b bundle) create(spec specs.Spec) error {
	if err := os.Mkdir(string(b), 0o700); err != nil {
		return err
	}
	if err := b.mark(); err != nil {
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

// mark makes a record in an existing directory that has none. It is empty.
func (b bundle) mark() error {
	file, err := os.OpenFile(b.record(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return ignoreMissing(err)
	}
	return file.Close()
}

// isOurs reports whether create made the directory. An empty directory counts: a
// crash may have left it before it had a record.
func (b bundle) isOurs() bool {
	entries, err := os.ReadDir(string(b))
	return err == nil && len(entries) == 0 || lexists(b.record())
}

// remove deletes the bundle. A directory without a record, or with other files in
// it, stays. An empty directory is deleted: a crash may have left it before it had
// a record.
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

// ignoreMissing returns nil for a path that does not exist, also because a parent
// is a file instead of a directory.
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
