package rootfs

import (
	"errors"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// EntryError refuses an archive because of one of its entries.
type EntryError struct {
	Entry  string // as the archive names it
	Reason string
}

func (e *EntryError) Error() string {
	return plaintext.Sprintf("archive entry %q: %s", shorten(e.Entry), e.Reason)
}

// InvalidParameter marks the error's class.
func (*EntryError) InvalidParameter() {}

// LimitError refuses an archive that costs more than [Limits] allow.
type LimitError struct {
	Limit string // the field of Limits
	Max   int64
	Entry string // where it was exceeded; empty between entries
}

func (e *LimitError) Error() string {
	if e.Entry == "" {
		return plaintext.Sprintf("archive exceeds the limit %s of %d", e.Limit, e.Max)
	}
	return plaintext.Sprintf("archive exceeds the limit %s of %d at entry %q", e.Limit, e.Max, shorten(e.Entry))
}

// InvalidParameter marks the error's class.
func (*LimitError) InvalidParameter() {}

// FormatError refuses bytes that are not an archive, or only part of one.
type FormatError struct {
	Err error
}

func (e *FormatError) Error() string { return plaintext.Sprintf("archive is malformed: %v", e.Err) }

func (e *FormatError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (*FormatError) InvalidParameter() {}

// ContextError refuses a build context that is a sound archive but not a
// plugin.
type ContextError struct {
	Reason string
}

func (e *ContextError) Error() string { return plaintext.Quote("build context: " + e.Reason) }

// InvalidParameter marks the error's class.
func (*ContextError) InvalidParameter() {}

// SystemError is the host's refusal to write an entry, for example because the
// disk is full.
type SystemError struct {
	Op    string
	Entry string
	Err   error
}

func (e *SystemError) Error() string {
	return plaintext.Sprintf("%s %q: %v", e.Op, shorten(e.Entry), e.Err)
}

func (e *SystemError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*SystemError) System() {}

// maxQuotedBytes of a name are shown: it may be a mebibyte.
const maxQuotedBytes = 256

func shorten(name string) string {
	if len(name) <= maxQuotedBytes {
		return name
	}
	return name[:maxQuotedBytes] + "..."
}

// formatError wraps what a decoder made of the bytes. Limits show through.
func formatError(err error) error {
	var limit *LimitError
	if errors.As(err, &limit) {
		return limit
	}
	return &FormatError{Err: err}
}
