// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"context"
	"errors"
	"time"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// A path in a config or a setting can lead into a file system with a server that
// does not answer. The kernel then blocks the calling thread until the server
// comes back or is given up; only the end of the process frees the thread. So
// each look at such a path has a separate goroutine and a time limit, holds no
// lock, and waits for other looks at the same mount, see [queue].

// hostPatience is the time limit for looking at all files of the host that one
// plugin names. A disk that has to spin up answers within it.
var hostPatience = 5 * time.Second

// NoAnswerError reports a file system of the host that does not answer. Class
// Unavailable.
type NoAnswerError struct {
	// Subject is the owner of the path, such as a device; empty if there is none.
	Subject string
	// Path is the place that did not answer, with all links resolved.
	Path string
	// Mountpoint and FileSystem are the mount point and the type of the file
	// system. Both are empty if each file system answered, but all look-ups
	// together took too long.
	Mountpoint, FileSystem string
}

// Error names the path and the file system.
func (e *NoAnswerError) Error() string {
	subject := e.Subject
	if subject != "" {
		subject += ": "
	}
	if e.Mountpoint == "" {
		return plaintext.Sprintf("%sinspect %s: the time limit ended before all paths were inspected", subject, e.Path)
	}
	return plaintext.Sprintf("%sinspect %s: the file system at %s, of type %s, does not answer: restart its server, or unmount it",
		subject, e.Path, e.Mountpoint, e.FileSystem)
}

// Unavailable marks the error's class.
func (*NoAnswerError) Unavailable() {}

// watch follows one look at files of the host. A nil watch follows nothing. All
// fields but ctx are guarded by the queue's lock.
type watch struct {
	ctx context.Context // ends when no caller waits for the look

	subject string
	place   string   // the last place that was asked for
	asks    *request // the request that the kernel works on
	awaits  *request // the request of another watch that this one waits for
	refused error    // why the look ends
}

// about sets the owner of the paths that follow.
func (w *watch) about(subject string) {
	if w == nil {
		return
	}
	hostQueue.mu.Lock()
	defer hostQueue.mu.Unlock()
	w.subject = subject
}

// look must be called before the kernel is asked for place; it also ends the
// request for the last place. After an error the caller must not touch place: it
// hangs already, or no caller waits. An empty place only ends the last request.
func (w *watch) look(place, _ string) error {
	if w == nil {
		return nil
	}
	return hostQueue.pass(w, place)
}

func (w *watch) noAnswer(m mountOfHost) error {
	return &NoAnswerError{Subject: w.subject, Path: w.place, Mountpoint: m.point, FileSystem: m.kind}
}

// attend returns the result of ask, or [NoAnswerError] after patience, or the cause
// of ctx when ctx ends. If ctx has a deadline, patience ends before it, so that the
// caller gets the path. After these errors ask continues until its file system
// answers; the file system gets no other request until then. A result that is
// ready when ctx ends is returned. A result that is late because this process was
// stopped gets more time: see [bounded.Grace].
func attend[T any](ctx context.Context, patience time.Duration, ask func(*watch) (T, error)) (T, error) {
	asking, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)*3/4)
	}
	waiting, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	w := &watch{ctx: asking}
	value, returned, err := bounded.Go(func() (T, error) {
		defer hostQueue.end(w)
		return ask(w)
	}).Await(waiting)
	var panicked *bounded.PanicError
	if errors.As(err, &panicked) {
		panic(panicked.Value) // on the caller's goroutine
	}
	if !returned {
		err = hostQueue.giveUp(w, waiting)
	} else if refused := hostQueue.refusal(w); refused != nil {
		err = refused
	}
	if err != nil {
		var none T
		return none, err
	}
	return value, nil
}

// answer is the result of one of several looks.
type answer[T any] struct {
	value T
	err   error
}

// together looks at several items at the same time, so that a silent file system
// takes no time from the others. Each look has a limit, see [attend].
func together[I, T any](items []I, look func(I) (T, error)) []answer[T] {
	calls := make([]*bounded.Call[T], len(items))
	for i, item := range items {
		calls[i] = bounded.Go(func() (T, error) { return look(item) })
	}
	answers := make([]answer[T], len(items))
	for i, call := range calls {
		answers[i].value, _, answers[i].err = call.Await(context.Background())
	}
	return answers
}

var errPatience = errors.New("it takes too long")
