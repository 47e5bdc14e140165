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
	// Tail is how many of the newest lines to begin with. Zero means all, a
	// negative number none.
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
		next, ok := u.recall(ctx, options, yield)
		if ok && options.Follow {
			u.follow(ctx, next, options, yield)
		}
	}, nil
}

// recall yields the lines in the files. It returns the number of the line that
// follows them, and whether to go on.
func (u *unit) recall(ctx context.Context, options LogOptions, yield func(LogLine, error) bool) (next uint64, ok bool) {
	files, err := u.logbook.open()
	if err != nil {
		yield(LogLine{}, fmt.Errorf("read logs of plugin %q: %w", u.plugin.Name(), err))
		return 0, false
	}
	defer files.close()
	for line, err := range options.choose(files.lines()) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(LogLine{}, fmt.Errorf("read logs of plugin %q: %w", u.plugin.Name(), err))
			return 0, false
		}
		if !yield(line, nil) {
			return 0, false
		}
	}
	return files.next, true
}

// choose leaves out older lines. It holds the newest ones in memory only if
// their number is limited.
func (o LogOptions) choose(lines iter.Seq2[LogLine, error]) iter.Seq2[LogLine, error] {
	return func(yield func(LogLine, error) bool) {
		if o.Tail < 0 {
			return
		}
		var tail []LogLine
		for line, err := range lines {
			switch {
			case err != nil:
				yield(LogLine{}, err)
				return
			case line.Time.Before(o.Since):
			case o.Tail > 0:
				if len(tail) == o.Tail {
					tail = tail[1:]
				}
				tail = append(tail, line)
			default:
				if !yield(line, nil) {
					return
				}
			}
		}
		for _, line := range tail {
			if !yield(line, nil) {
				return
			}
		}
	}
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
