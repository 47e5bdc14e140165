package plugin

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/privilege"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

// The errors of this package name the thing and carry their class as a marker
// method, so that the errdefs packages of docker and containerd both see it.
// Match a kind with [errors.As] and a class with errdefs.

// plain makes an error safe to print on its way out, whatever package made it.
func plain(err *error) { *err = plaintext.Error(*err) }

// NotFoundError is the answer to a reference that no plugin has. Class
// NotFound.
type NotFoundError struct{ Ref string }

func (e *NotFoundError) Error() string { return plaintext.Sprintf("plugin %q not found", e.Ref) }

// NotFound marks the error's class.
func (e *NotFoundError) NotFound() {}

// AmbiguousError is the answer to an id prefix that several plugins share.
// Class InvalidParameter.
type AmbiguousError struct{ Ref string }

func (e *AmbiguousError) Error() string {
	return plaintext.Sprintf("multiple plugins found for %q: give more characters of the id", e.Ref)
}

// InvalidParameter marks the error's class.
func (e *AmbiguousError) InvalidParameter() {}

// DisabledError refuses to use, or to disable, a plugin that is disabled.
// Class Conflict.
type DisabledError struct{ Name string }

func (e *DisabledError) Error() string {
	return plaintext.Sprintf("plugin %s found but disabled", e.Name)
}

// Conflict marks the error's class.
func (e *DisabledError) Conflict() {}

// UnavailableError is the answer to a look-up of a plugin that is enabled, but
// whose process does not serve now. The manager goes on starting it. Class
// Unavailable.
type UnavailableError struct {
	Name string
	// State is that of [Status]; empty for a plugin that no manager attends.
	State string
	// LastExit is how the process last ended by itself; nil if it never did.
	LastExit *Exit
	// LastError is why the last start failed; empty if it did not.
	LastError string
	// NextRetry is when the manager starts the plugin again; zero unless it
	// waits to do so.
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

// EnabledError refuses what only a disabled plugin allows. Class Conflict.
type EnabledError struct{ Name string }

func (e *EnabledError) Error() string {
	return plaintext.Sprintf("plugin %s is enabled", e.Name)
}

// Conflict marks the error's class.
func (e *EnabledError) Conflict() {}

// InUseError refuses to disable or remove a plugin that something holds a
// reference to. Class Conflict.
type InUseError struct {
	Name       string
	References int
}

func (e *InUseError) Error() string {
	return plaintext.Sprintf("plugin %s is in use", e.Name)
}

// Conflict marks the error's class.
func (e *InUseError) Conflict() {}

// ExistsError refuses a name or id that is taken, also by an install that is
// still under way. Class Conflict.
type ExistsError struct{ Name string }

func (e *ExistsError) Error() string {
	return plaintext.Sprintf("plugin %s already exists", e.Name)
}

// Conflict marks the error's class.
func (e *ExistsError) Conflict() {}

// BusyError refuses a verb while another one, or the manager's shutdown,
// makes it impossible. Class Conflict.
type BusyError struct {
	Name string
	Err  error
}

func (e *BusyError) Error() string { return plaintext.Sprintf("plugin %q: %v", e.Name, e.Err) }

// Unwrap returns what is in the way.
func (e *BusyError) Unwrap() error { return e.Err }

// Conflict marks the error's class.
func (e *BusyError) Conflict() {}

// InvalidError refuses input: a name, a build context, a filter. Class
// InvalidParameter.
type InvalidError struct {
	What string
	Err  error
}

func (e *InvalidError) Error() string { return plaintext.Sprintf("invalid %s: %v", e.What, e.Err) }

// Unwrap returns what is wrong with the input.
func (e *InvalidError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (e *InvalidError) InvalidParameter() {}

// ConfigError refuses a [ManagerConfig] and lists all its problems. Class
// InvalidParameter.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string {
	return plaintext.Sprintf("invalid plugin manager config: %v", e.Err)
}

// Unwrap returns the joined problems.
func (e *ConfigError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (e *ConfigError) InvalidParameter() {}

// UnsupportedError answers a verb that this platform, this executor or this
// version does not have. Class NotImplemented.
type UnsupportedError struct {
	Op     string
	Reason string
}

func (e *UnsupportedError) Error() string {
	return plaintext.Sprintf("plugin %s is not supported: %s", e.Op, e.Reason)
}

// NotImplemented marks the error's class.
func (e *UnsupportedError) NotImplemented() {}

// StorageError reports that a verb's effect could not be written. Class
// System.
type StorageError struct {
	Op   string
	Name string
	Err  error
}

func (e *StorageError) Error() string {
	return plaintext.Sprintf("%s plugin %q: %v", e.Op, e.Name, e.Err)
}

// Unwrap returns the error of the file system.
func (e *StorageError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *StorageError) System() {}

// AnswerError cuts off a plugin whose answer to a call is longer than the
// caller should hold in memory. Class System.
type AnswerError struct {
	// Method is what was called, such as VolumeDriver.List.
	Method string
}

func (e *AnswerError) Error() string {
	return plaintext.Sprintf("call %s: the plugin's answer is longer than %d MiB or has more than %d values", e.Method, maxAnswer>>20, maxAnswerItems)
}

// System marks the error's class.
func (e *AnswerError) System() {}

// RootInUseError refuses a root that another process manages. Its field Root
// names the directory. Class Conflict.
type RootInUseError = layout.LockedError

// FencedError refuses to change anything through a manager that was shut down,
// or whose root a newer manager of the same process took over. Its field Root
// names the directory. Class Unavailable.
type FencedError = layout.FencedError

// PrivilegesError refuses to install or upgrade a plugin with grants that are
// not what it asks for. Its fields Missing and Excess tell the difference, and
// Added and Dropped, of an upgrade, that between the versions. Class
// InvalidParameter.
type PrivilegesError = privilege.MismatchError

// ArchiveEntryError refuses a build context or a layer because of one of its
// entries. Its fields Entry and Reason name them. Class InvalidParameter.
type ArchiveEntryError = rootfs.EntryError

// ArchiveError refuses a build context or a layer that is not an archive, or
// only part of one. Class InvalidParameter.
type ArchiveError = rootfs.FormatError

// BuildContextError refuses a build context that is a sound archive and no
// plugin. Its field Reason says why. Class InvalidParameter.
type BuildContextError = rootfs.ContextError

// MissingBlobError refuses to push a plugin of which the store lacks something:
// a manifest, config or layer that an earlier manager deleted or did not record.
// An upgrade to the version that is installed fetches it again. Its fields What
// and Digest name it; Digest is empty when the record does not know it. Class
// NotFound.
type MissingBlobError = remote.MissingError

// RedirectError refuses to follow a registry, or its token server, to another
// address: out of TLS, to what is no web server, or with a request that would
// take a secret along or lose its body. Its fields From, To and Why name both by
// scheme and host. Class System.
type RedirectError = remote.RedirectError

// BrokenError refuses a plugin whose record can't be read. It is listed, its
// files and blobs are kept, and it can be removed by its id. Class System.
type BrokenError struct {
	ID  string
	Err error
}

func (e *BrokenError) Error() string {
	return plaintext.Sprintf("plugin %s is broken: read its record: %v", e.ID, e.Err)
}

// Unwrap returns what is wrong with the record.
func (e *BrokenError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *BrokenError) System() {}

// Phase is how far a start got.
type Phase string

// The phases of a start, in order.
const (
	PhasePrepare Phase = "prepare" // directories, mounts and the OCI spec
	PhaseCreate  Phase = "create"  // the executor's Create
	PhaseStart   Phase = "start"   // the process ran, and ended before its socket accepted
	PhaseReady   Phase = "ready"   // the process runs, and its socket does not accept
)

// StartError says why a plugin did not start. Its class, which a wrapper around
// it carries, is InvalidParameter when the plugin's config or settings are to
// blame, else System.
type StartError struct {
	Plugin string
	Phase  Phase
	// ExitCode is the exit code of the process, 128+n for signal n, and -1
	// when it did not exit or its code is not known.
	ExitCode  int
	OOMKilled bool
	// Output is the last lines of its output, oldest first.
	Output []string
	// Hint names a cause that people can do something about, if one was found.
	Hint    string
	Elapsed time.Duration
	Err     error
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
		text.WriteString(", killed for want of memory")
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

// beginning is as much of a line of output as an error shows.
func beginning(line string) string {
	const enough = 1 << 10
	if len(line) <= enough {
		return line
	}
	return strings.ToValidUTF8(line[:enough], "") + "..."
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }
