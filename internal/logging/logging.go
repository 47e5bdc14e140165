// Package logging is how the daemon's log is written to: by containerd's logger,
// whose level, format and destination are the embedding daemon's, and with
// everything made plain that comes from outside. A plugin, a registry or a
// runtime can thus neither command the terminal a log is shown on nor forge
// its lines.
package logging

import (
	"context"
	"fmt"

	"github.com/containerd/log"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Level is how much a line matters.
type Level = log.Level

// The levels of what plugins write.
const (
	InfoLevel  = log.InfoLevel
	ErrorLevel = log.ErrorLevel
)

// SetLevel sets the least level of lines that are written, by its name.
func SetLevel(name string) error { return log.SetLevel(name) }

// Fields are the named values of a line.
type Fields = log.Fields

// Entry is a line to be written, with the fields it has so far. Copies are
// independent; it is safe for concurrent use.
type Entry struct{ entry *log.Entry }

// G returns the logger of ctx.
func G(ctx context.Context) Entry { return Entry{log.G(ctx)} }

// L returns the logger of the process.
func L() Entry { return Entry{log.L} }

// WithError adds the field of an error.
func (e Entry) WithError(err error) Entry { return Entry{e.entry.WithError(plaintext.Error(err))} }

// WithField adds a field.
func (e Entry) WithField(key string, value any) Entry {
	return Entry{e.entry.WithField(key, plain(value))}
}

// WithFields adds fields.
func (e Entry) WithFields(fields Fields) Entry {
	plainFields := make(Fields, len(fields))
	for key, value := range fields {
		plainFields[key] = plain(value)
	}
	return Entry{e.entry.WithFields(plainFields)}
}

// plain makes a value so. What is no number is taken as it would be printed.
// Newlines stay: formatters quote the values of fields.
func plain(value any) any {
	switch value := value.(type) {
	case nil, bool, int, int32, int64, uint32, uint64, float64:
		return value
	case error:
		return plaintext.Error(value)
	}
	return plaintext.Lines(fmt.Sprint(value))
}

// Debug writes the line for developers.
func (e Entry) Debug(message string) { e.Log(log.DebugLevel, message) }

// Info writes the line for operators.
func (e Entry) Info(message string) { e.Log(InfoLevel, message) }

// Warn writes the line of what went wrong and can be lived with.
func (e Entry) Warn(message string) { e.Log(log.WarnLevel, message) }

// Error writes the line of what went wrong and needs somebody's attention.
func (e Entry) Error(message string) { e.Log(ErrorLevel, message) }

// Debugf is [Entry.Debug] of a format.
func (e Entry) Debugf(format string, args ...any) { e.Debug(fmt.Sprintf(format, args...)) }

// Infof is [Entry.Info] of a format.
func (e Entry) Infof(format string, args ...any) { e.Info(fmt.Sprintf(format, args...)) }

// Warnf is [Entry.Warn] of a format.
func (e Entry) Warnf(format string, args ...any) { e.Warn(fmt.Sprintf(format, args...)) }

// Errorf is [Entry.Error] of a format.
func (e Entry) Errorf(format string, args ...any) { e.Error(fmt.Sprintf(format, args...)) }

// Log writes the line at level.
func (e Entry) Log(level Level, message string) { e.entry.Log(level, plaintext.Quote(message)) }
