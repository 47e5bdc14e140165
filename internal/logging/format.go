// SPDX-License-Identifier: Apache-2.0

package logging

import (
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// MakePlain makes the process's logger quote also the lines of other packages,
// such as docker's volume service. Only a program that owns the logger should
// call it. Further calls do nothing.
func MakePlain() {
	logger := log.L.Logger
	if _, done := logger.Formatter.(plainFormatter); !done {
		logger.SetFormatter(plainFormatter{logger.Formatter})
	}
}

// plainFormatter makes lines plain before it formats them.
type plainFormatter struct{ logrus.Formatter }

// Format implements [logrus.Formatter].
func (f plainFormatter) Format(line *logrus.Entry) ([]byte, error) {
	plainLine := *line // a copy, because hooks see the original
	plainLine.Message = plaintext.Quote(line.Message)
	plainLine.Data = make(logrus.Fields, len(line.Data))
	for key, value := range line.Data {
		plainLine.Data[key] = plain(value)
	}
	return f.Formatter.Format(&plainLine)
}
