package logging

import (
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// MakePlain makes plain also what other packages write to the logger of the
// process, docker's volume service above all. It is for a program that owns
// that logger; calling it again changes nothing.
func MakePlain() {
	logger := log.L.Logger
	if _, done := logger.Formatter.(plainFormatter); !done {
		logger.SetFormatter(plainFormatter{logger.Formatter})
	}
}

// plainFormatter formats lines that were made plain.
type plainFormatter struct{ logrus.Formatter }

// Format implements [logrus.Formatter].
func (f plainFormatter) Format(line *logrus.Entry) ([]byte, error) {
	plainLine := *line // the caller's has its message for hooks
	plainLine.Message = plaintext.Quote(line.Message)
	plainLine.Data = make(logrus.Fields, len(line.Data))
	for key, value := range line.Data {
		plainLine.Data[key] = plain(value)
	}
	return f.Formatter.Format(&plainLine)
}
