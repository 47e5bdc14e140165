// SPDX-License-Identifier: Apache-2.0

// Package logging writes the daemon's log. It uses containerd's logger and quotes
// untrusted text. The embedding daemon sets the logger's level, format and
// destination. A plugin, a registry or a runtime can neither manipulate the
// terminal that shows a log nor forge its lines.
package logging

import (
	"context"
	"fmt"

	"github.com/containerd/log"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Level is the severity of a line.
type Level = log.Level

// The levels of plugin output.
const (
	InfoLevel  = log.InfoLevel
	ErrorLevel = log.ErrorLevel
)

// SetLevel sets, by its name, the lowest level of lines that are written.
func SetLevel(name string) error { return log.SetLevel(name) }

// Fields are the named values of a line.
type Fields = log.Fields

// Entry holds the fields of a line. It is immutable and safe for concurrent use.
type Entry struct{ entry *log.Entry }

// G returns the logger of ctx.
func G(ctx context.Context) Entry { return Entry{log.G(ctx)} }

// L returns the logger of the process.
func L() Entry { return Entry{log.L} }

// WithError returns a copy of the entry with the field of an error.
func (e Entry) WithError(err error) Entry { return Entry{e.entry.WithError(plaintext.Error(err))} }

// WithField returns a copy of the entry with another field.
func (e Entry) WithField(key string, value any) Entry {
	return Entry{e.entry.WithField(key, plain(value))}
}

// WithFields returns a copy of the entry with more fields.
func (e Entry) WithFields(fields Fields) Entry {
	plainFields := make(Fields, len(fields))
	for key, value := range fields {
		plainFields[key] = plain(value)
	}
	return Entry{e.entry.WithFields(plainFields)}
}

// plain returns a value that is plain text when printed. It keeps numbers and
// errors, and formats all other values. Newlines stay, because formatters quote
// the values of fields.
func plain(value any) any {
	switch value := value.(type) {
	case nil, bool, int, int32, int64, uint32, uint64, float64:
		return value
	case error:
		return plaintext.Error(value)
	}
	return plaintext.Lines(fmt.Sprint(value))
}

// Debug writes a line for developers.
func (e Entry) Debug(message string) { e.Log(log.DebugLevel, message) }

// Info writes a line for operators.
func (e Entry) Info(message string) { e.Log(InfoLevel, message) }

// Warn writes a line about a problem that needs no action.
func (e Entry) Warn(message string) { e.Log(log.WarnLevel, message) }

// Error writes a line about a problem that needs the operator's attention.
func (e Entry) Error(message string) { e.Log(ErrorLevel, message) }

// Warnf is [Entry.Warn] of a format.
func (e Entry) Warnf(format string, args ...any) { e.Warn(fmt.Sprintf(format, args...)) }

// Errorf is [Entry.Error] of a format.
func (e Entry) Errorf(format string, args ...any) { e.Error(fmt.Sprintf(format, args...)) }

// Log writes a line at level. It returns soon also when the log blocks. Lines that
// the log does not take are lost, and their number is logged when it takes lines
// again.
func (e Entry) Log(level Level, message string) {
	if e.entry.Logger.IsLevelEnabled(level) {
		e.write(level, plaintext.Quote(message))
	}
}
