package plugin

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// LogLine is one line that a plugin wrote, with whatever control characters it
// has: whoever shows it on a terminal escapes them, or means not to.
type LogLine struct {
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"` // stdout, stderr, or manager for a note of ours
	Text   string    `json:"log"`
}

// LogOptions chooses among the lines of a plugin. The zero value means all
// that are kept, and no waiting for more.
type LogOptions struct {
	// Follow waits for more lines, until the context ends or the plugin is
	// removed.
	Follow bool
	// Tail, if it is positive, is how many of the newest lines to begin with.
	Tail int
	// Since leaves out older lines.
	Since time.Time
}

// Logs returns what a plugin wrote, oldest line first. The newest two
// mebibytes are kept, across restarts of the plugin and of the daemon.
//
// The lines are read as the loop asks for them. A loop that falls behind the
// plugin further than what is kept in memory finds a line of the stream
// "manager" that says how many it missed; the plugin never waits for a reader.
// An error, of ctx or of the file system, comes last.
func (pm *Manager) Logs(ctx context.Context, refOrID string, options LogOptions) (_ iter.Seq2[LogLine, error], retErr error) {
	defer plain(&retErr)
	u, err := pm.unit(refOrID)
	if err != nil {
		return nil, err
	}
	return func(yield func(LogLine, error) bool) {
		kept, next, err := u.logbook.history()
		if err != nil {
			yield(LogLine{}, fmt.Errorf("read logs of plugin %q: %w", u.plugin.Name(), err))
			return
		}
		for _, line := range options.choose(kept) {
			if !yield(line, nil) {
				return
			}
		}
		if options.Follow {
			u.follow(ctx, next, options, yield)
		}
	}, nil
}

func (o LogOptions) choose(lines []LogLine) []LogLine {
	for len(lines) > 0 && lines[0].Time.Before(o.Since) {
		lines = lines[1:]
	}
	if o.Tail > 0 && len(lines) > o.Tail {
		lines = lines[len(lines)-o.Tail:]
	}
	return lines
}

func (u *unit) follow(ctx context.Context, next uint64, options LogOptions, yield func(LogLine, error) bool) {
	for {
		lines, missed, changed, ended := u.logbook.since(next)
		if missed > 0 {
			note := LogLine{Time: time.Now(), Stream: "manager", Text: fmt.Sprintf("%d lines were missed", missed)}
			if !yield(note, nil) {
				return
			}
		}
		for _, line := range lines {
			if !line.Time.Before(options.Since) && !yield(line, nil) {
				return
			}
		}
		next += missed + uint64(len(lines))
		if ended {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			yield(LogLine{}, ctx.Err())
			return
		}
	}
}
