// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/pluginclient"
	"github.com/dovetailhq/plugin/internal/privilege"
	"github.com/dovetailhq/plugin/internal/socketpath"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// The errors of this package name the thing and carry their class as a marker
// method, so that the errdefs packages of docker and containerd both see it.
// Match a kind with [errors.As] and a class with errdefs.

// NotFoundError reports a reference that no plugin has. Class NotFound.
type NotFoundError struct {
	Ref string // the reference, as the caller gave it
}

func (e *NotFoundError) Error() string { return plaintext.Sprintf("plugin %q not found", e.Ref) }

// NotFound marks the error's class.
func (e *NotFoundError) NotFound() {}

// LegacyError reports a plugin of the first generation that does not work.
// Class System.
type LegacyError struct {
	Err error // the error of docker's plugins package
}

func (e *LegacyError) Error() string { return plaintext.Sprintf("legacy plugin: %v", e.Err) }

// Unwrap returns the error of docker's plugins package.
func (e *LegacyError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *LegacyError) System() {}

// AmbiguousError reports an ID prefix that several plugins share. Class
// InvalidParameter.
type AmbiguousError struct {
	Ref string // the prefix
}

func (e *AmbiguousError) Error() string {
	return plaintext.Sprintf("multiple plugins found for %q: use more characters of the ID", e.Ref)
}

// InvalidParameter marks the error's class.
func (e *AmbiguousError) InvalidParameter() {}

// DisabledError refuses to use, or to disable, a plugin that is disabled.
// Class Conflict.
type DisabledError struct {
	Name string // the name of the plugin
}

func (e *DisabledError) Error() string {
	return plaintext.Sprintf("plugin %s found but disabled", e.Name)
}

// Conflict marks the error's class.
func (e *DisabledError) Conflict() {}

// UnavailableError reports that a plugin is enabled, but its process does not
// serve now. The manager keeps trying to start it. Class Unavailable.
type UnavailableError struct {
	Name string // the name of the plugin
	// State is the State of [Status]; empty for a plugin without a manager.
	State string
	// LastExit is how the process last exited by itself; nil if it never did.
	LastExit *ExitStatus
	// LastError is why the last start failed; empty after a successful start.
	LastError string
	// NextRetry is when the manager restarts the plugin; zero if no restart is
	// scheduled.
	NextRetry time.Time
}

func (e *UnavailableError) Error() string {
	text := plaintext.Sprintf("plugin %s is enabled but not available", e.Name)
	if e.State != "" {
		text += plaintext.Sprintf(", it is in state %s", e.State)
	}
	if e.LastExit != nil {
		text += plaintext.Sprintf("; its process exited with code %d at %s", e.LastExit.Code, e.LastExit.At.Format(time.RFC3339))
	}
	if e.LastError != "" {
		cause, _, _ := strings.Cut(e.LastError, "; last output:\n")
		text += plaintext.Sprintf("; %s", cause)
	}
	if !e.NextRetry.IsZero() {
		text += "; the next start is at " + e.NextRetry.Format(time.RFC3339)
	}
	return text
}

// Unavailable marks the error's class.
func (e *UnavailableError) Unavailable() {}

// EnabledError refuses a verb that needs a disabled plugin. Class Conflict.
type EnabledError struct {
	Name string // the name of the plugin
}

func (e *EnabledError) Error() string {
	return plaintext.Sprintf("plugin %s is enabled", e.Name)
}

// Conflict marks the error's class.
func (e *EnabledError) Conflict() {}

// InUseError refuses to disable or remove a plugin that has References. Class
// Conflict.
type InUseError struct {
	Name       string // the name of the plugin
	References int    // how many there are
}

func (e *InUseError) Error() string {
	return plaintext.Sprintf("plugin %s is in use", e.Name)
}

// Conflict marks the error's class.
func (e *InUseError) Conflict() {}

// ExistsError refuses a name or an ID that a plugin or an install in progress has.
// Class Conflict.
type ExistsError struct {
	Name string // the name, or the ID, that is taken
}

func (e *ExistsError) Error() string {
	return plaintext.Sprintf("plugin %s already exists", e.Name)
}

// Conflict marks the error's class.
func (e *ExistsError) Conflict() {}

// BusyError refuses a verb because another verb, or the manager's shutdown, is
// in progress. Class Conflict.
type BusyError struct {
	Name string // the name of the plugin
	Err  error  // what is in progress
}

func (e *BusyError) Error() string { return plaintext.Sprintf("plugin %q: %v", e.Name, e.Err) }

// Unwrap returns the reason.
func (e *BusyError) Unwrap() error { return e.Err }

// Conflict marks the error's class.
func (e *BusyError) Conflict() {}

// InvalidError refuses input, such as a name or a timeout. Class
// InvalidParameter.
type InvalidError struct {
	What string // the name of the input
	Err  error  // the problem
}

func (e *InvalidError) Error() string { return plaintext.Sprintf("invalid %s: %v", e.What, e.Err) }

// Unwrap returns the problem of the input.
func (e *InvalidError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (e *InvalidError) InvalidParameter() {}

// ConfigError refuses a [ManagerConfig] and lists all its problems. Class
// InvalidParameter.
type ConfigError struct {
	Err error // joins all problems
}

func (e *ConfigError) Error() string {
	return plaintext.Sprintf("invalid plugin manager config: %v", e.Err)
}

// Unwrap returns the joined problems.
func (e *ConfigError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (e *ConfigError) InvalidParameter() {}

// UnsupportedError refuses a verb that this platform or this manager's config
// does not support. Class NotImplemented.
type UnsupportedError struct {
	Op     string // what is refused, such as "start"
	Reason string // what it needs
}

func (e *UnsupportedError) Error() string {
	return plaintext.Sprintf("plugin %s is not supported: %s", e.Op, e.Reason)
}

// NotImplemented marks the error's class.
func (e *UnsupportedError) NotImplemented() {}

// StorageError reports that a verb could not read, write or delete its files,
// or could not stop the process. Class System.
type StorageError struct {
	Op   string // what failed, such as "install"
	Name string // the name of the plugin, or another thing that Op was about
	Err  error  // the cause
}

func (e *StorageError) Error() string {
	return plaintext.Sprintf("%s plugin %q: %v", e.Op, e.Name, e.Err)
}

// Unwrap returns the cause, for example the error of the file system.
func (e *StorageError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *StorageError) System() {}

// AnswerError refuses an answer of a plugin that is too long to be held in
// memory. Class System.
type AnswerError struct {
	// Method is the method that was called, such as VolumeDriver.List.
	Method string
}

func (e *AnswerError) Error() string {
	return plaintext.Sprintf("call %s: the plugin's answer is too long: %d MiB, %d values and %d volumes are allowed, and %d KiB for an error, a mountpoint or one volume",
		e.Method, pluginclient.MaxAnswer>>20, pluginclient.MaxAnswerItems, pluginclient.MaxListedVolumes, pluginclient.MaxShortAnswer>>10)
}

// System marks the error's class.
func (e *AnswerError) System() {}

// RootInUseError refuses a root that another process manages. Class Conflict.
type RootInUseError struct {
	// Root is the directory.
	Root string
}

func (e *RootInUseError) Error() string { return (*layout.LockedError)(e).Error() }

// Conflict marks the error's class.
func (e *RootInUseError) Conflict() {}

// FencedError refuses to change anything through a manager that was shut down,
// or whose root a newer manager of the same process took over. Class
// Unavailable.
type FencedError struct {
	// Root is the directory.
	Root string
}

func (e *FencedError) Error() string { return (*layout.FencedError)(e).Error() }

// Unavailable marks the error's class.
func (e *FencedError) Unavailable() {}

// PrivilegesError refuses to install or upgrade a plugin because the granted
// privileges are not those that it asks for. Class InvalidParameter.
type PrivilegesError struct {
	// Missing are privileges that the plugin asks for and that were not granted.
	// Excess are granted privileges that it does not ask for.
	Missing, Excess types.PluginPrivileges
	// Added and Dropped compare the versions of an upgrade: the privileges that
	// only the new version asks for, and those that only the installed version
	// asks for.
	Added, Dropped types.PluginPrivileges
}

func (e *PrivilegesError) Error() string { return (*privilege.MismatchError)(e).Error() }

// InvalidParameter marks the error's class.
func (e *PrivilegesError) InvalidParameter() {}

// BrokenError refuses a broken plugin: its record can't be read. A broken plugin
// is listed, its files and blobs are kept, and it can be removed by its ID. Class
// System.
type BrokenError struct {
	ID  string // the ID of the plugin
	Err error  // the problem of the record
}

func (e *BrokenError) Error() string {
	return plaintext.Sprintf("plugin %s is broken: cannot read its record: %v", e.ID, e.Err)
}

// Unwrap returns the problem of the record.
func (e *BrokenError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *BrokenError) System() {}

// StartPhase is a phase of a start.
type StartPhase string

// The phases of a start, in order.
const (
	PhasePrepare StartPhase = "prepare" // directories, mounts and the OCI spec
	PhaseCreate  StartPhase = "create"  // the executor's Create
	PhaseStart   StartPhase = "start"   // the process exited before its socket accepted a connection
	PhaseReady   StartPhase = "ready"   // the process runs, but its socket accepts no connection
)

// StartError reports why a plugin did not start. Err has the class:
// InvalidParameter for a cause in the plugin's config or settings, Conflict or
// Unavailable for a cause of that class, else System.
type StartError struct {
	Plugin string     // the name of the plugin
	Phase  StartPhase // where the start failed
	// ExitCode is the exit code of the process, 128+n for signal n, and -1
	// when it did not exit or its code is not known.
	ExitCode int
	// OOMKilled reports that the OOM killer ended the process.
	OOMKilled bool
	// Output is the last lines of the process's output, oldest first.
	Output []string
	// Hint names a cause that users can mend, if one was found.
	Hint string
	// Elapsed is the time from the beginning of the start to its failure.
	Elapsed time.Duration
	Err     error // the cause
}

// signalBase is what a shell, and [ExitReporter], adds to a signal's number.
const signalBase = 128

func (e *StartError) Error() string {
	var text strings.Builder
	text.WriteString(plaintext.Sprintf("start plugin %q: %s after %s: %v", e.Plugin, e.Phase, e.Elapsed.Round(time.Millisecond), e.Err))
	if e.ExitCode >= 0 {
		fmt.Fprintf(&text, " with code %d", e.ExitCode)
	}
	if e.ExitCode > signalBase {
		fmt.Fprintf(&text, " (signal: %s)", syscall.Signal(e.ExitCode-signalBase))
	}
	if e.OOMKilled {
		text.WriteString(", killed by the OOM killer")
	}
	if e.Hint != "" {
		text.WriteString(": " + e.Hint)
	}
	if len(e.Output) == 0 {
		return plaintext.Quote(text.String())
	}
	lines := []string{plaintext.Quote(text.String()) + "; last output:"}
	for _, line := range e.Output {
		lines = append(lines, plaintext.Quote(beginning(line)))
	}
	return strings.Join(lines, "\n")
}

// beginning returns the part of a line of output that an error shows.
func beginning(line string) string {
	const enough = 1 << 10
	if len(line) <= enough {
		return line
	}
	return strings.ToValidUTF8(line[:enough], "") + "..."
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// StateError refuses a verb that the state of a plugin's process does not
// allow. Class Conflict.
type StateError struct {
	// Event is the refused change, such as "enable", and State that of [Status].
	Event, State string
}

func (e *StateError) Error() string {
	return plaintext.Sprintf("cannot %s while it is %s", e.Event, e.State)
}

// Conflict marks the error's class.
func (*StateError) Conflict() {}

// HungError reports a call into the executor, the mount table or a plugin's
// directory that did not return in time. Class System.
type HungError struct {
	// Call names the call.
	Call string
	Err  error // why the wait ended
}

func (e *HungError) Error() string { return (*supervise.HungError)(e).Error() }

// Unwrap returns why the wait ended.
func (e *HungError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*HungError) System() {}

// PanicError reports a call into the executor that panicked. Class System.
type PanicError struct {
	// Value is the value of the panic, and Stack the stack at that time.
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return (*bounded.PanicError)(e).Error() }

// System marks the error's class.
func (*PanicError) System() {}

// ExitedError is the cause of a [StartError] when the process exited before its
// socket accepted connections.
type ExitedError struct{}

func (e *ExitedError) Error() string { return (*supervise.ExitedError)(e).Error() }

// SocketError is the cause of a [StartError] when the process runs, but its
// socket did not accept connections in time.
type SocketError struct {
	// Name is the file name of the socket, and Found the files that exist in
	// its directory.
	Name  string
	Found []string
	Err   error // why the wait ended
}

func (e *SocketError) Error() string { return (*supervise.NoSocketError)(e).Error() }

// Unwrap returns why the wait ended.
func (e *SocketError) Unwrap() error { return e.Err }

// SocketPathError refuses a socket whose path is longer than the system allows.
type SocketPathError struct {
	// Path is the socket's path, and Short the shortest path that reaches it.
	Path, Short string
}

func (e *SocketPathError) Error() string { return (*socketpath.TooLongError)(e).Error() }

// StuckError reports a process that does not end. Class System.
type StuckError struct {
	// Err is why it can't be signalled; nil if it survives SIGKILL.
	Err error
}

func (e *StuckError) Error() string { return (*supervise.StuckError)(e).Error() }

// Unwrap returns why the process can't be signalled.
func (e *StuckError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*StuckError) System() {}
