// SPDX-License-Identifier: Apache-2.0

package logbook

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Options chooses among the lines of a plugin. The zero value means all that
// are kept, and no waiting for more.
type Options struct {
	// Follow waits for more lines, until the context ends or the book is
	// closed.
	Follow bool
	// Tail is how many of the newest lines to begin with. Zero means all, a
	// negative number none.
	Tail int
	// Since leaves out older lines.
	Since time.Time
}

// Read returns the chosen lines, oldest first, and reads each line when the loop
// asks for it. A loop that falls behind what is kept in memory gets a line of the
// stream "manager" with the number of lines it missed. An error, of ctx or of the
// file system, comes last.
func (l *Book) Read(ctx context.Context, options Options) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		next, ok := l.recall(ctx, options, yield)
		if ok && options.Follow {
			l.follow(ctx, next, options, yield)
		}
	}
}

// recall yields the lines in the files. It returns the number of the line that
// follows them, and whether to go on.
func (l *Book) recall(ctx context.Context, options Options, yield func(Line, error) bool) (next uint64, ok bool) {
	files, err := l.open()
	if err != nil {
		yield(Line{}, err)
		return 0, false
	}
	defer files.close()
	for line, err := range options.choose(files.lines()) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(Line{}, err)
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
func (o Options) choose(lines iter.Seq2[Line, error]) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		if o.Tail < 0 {
			return
		}
		var tail []Line
		for line, err := range lines {
			switch {
			case err != nil:
				yield(Line{}, err)
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

func (l *Book) follow(ctx context.Context, next uint64, options Options, yield func(Line, error) bool) {
	for {
		lines, missed, changed, ended := l.since(next)
		if missed > 0 {
			note := Line{Time: time.Now(), Stream: "manager", Text: fmt.Sprintf("%d lines were missed", missed)}
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
			yield(Line{}, ctx.Err())
			return
		}
	}
}
