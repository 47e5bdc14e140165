// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// EntryError reports an entry that makes an archive invalid.
type EntryError struct {
	Entry  string // its name in the archive
	Reason string
}

func (e *EntryError) Error() string {
	return plaintext.Sprintf("archive entry %q: %s", shorten(e.Entry), e.Reason)
}

// InvalidParameter marks the error's class.
func (*EntryError) InvalidParameter() {}

// LimitError reports an archive that exceeds one of its [Limits].
type LimitError struct {
	Limit string // the field of Limits
	Max   int64
	Entry string // the entry that exceeded it; empty between entries
}

func (e *LimitError) Error() string {
	if e.Entry == "" {
		return plaintext.Sprintf("archive exceeds the limit %s of %d", e.Limit, e.Max)
	}
	return plaintext.Sprintf("archive exceeds the limit %s of %d at entry %q", e.Limit, e.Max, shorten(e.Entry))
}

// InvalidParameter marks the error's class.
func (*LimitError) InvalidParameter() {}

// FormatError reports bytes that are not an archive, only part of one, or compressed
// in a way that is not supported.
type FormatError struct {
	Err error
}

func (e *FormatError) Error() string {
	var window *windowError
	if errors.As(e.Err, &window) {
		return plaintext.Sprintf("archive is not supported: %v", window)
	}
	return plaintext.Sprintf("archive is malformed: %v", e.Err)
}

func (e *FormatError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (*FormatError) InvalidParameter() {}

// ContextError reports a build context that is a valid archive but not a
// plugin.
type ContextError struct {
	Reason string
}

func (e *ContextError) Error() string { return plaintext.Quote("build context: " + e.Reason) }

// InvalidParameter marks the error's class.
func (*ContextError) InvalidParameter() {}

// SystemError reports that the host could not write an entry, for example
// because the disk is full.
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

// maxQuotedBytes bounds the part of a name that errors show: a name can be a
// mebibyte.
const maxQuotedBytes = 256

func shorten(name string) string {
	if len(name) <= maxQuotedBytes {
		return name
	}
	return name[:maxQuotedBytes] + "..."
}

func isFormatError(err error) bool {
	var format *FormatError
	return errors.As(err, &format)
}

// formatError makes a decoder's error a FormatError, unless it is a LimitError.
func formatError(err error) error {
	var limit *LimitError
	if errors.As(err, &limit) {
		return limit
	}
	return &FormatError{Err: err}
}
