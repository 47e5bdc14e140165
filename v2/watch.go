package v2

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// A path that a config or a user names can lead into a file system whose server
// does not answer. The kernel then keeps the thread that asks until the server
// comes back or is given up, and no signal short of the end of the process frees
// it. So each look at such a path has a goroutine and a limit of its own, and no
// lock is held meanwhile.

// hostPatience is how long the files of the host that one plugin names can take
// to be looked at. A disk that has to spin up answers within it.
var hostPatience = 5 * time.Second

// ErrNoAnswer says that a file system of the host does not answer. Class
// Unavailable.
type ErrNoAnswer struct {
	// Subject is what names the path, such as a device; empty if the path says
	// it all.
	Subject string
	// Path is the place that was looked at, with no link left in it.
	Path string
	// Mountpoint and FileSystem are where and what the file system is. Both are
	// empty when it answers, but the look took too long as a whole.
	Mountpoint, FileSystem string
}

// Error names the path and the file system.
func (e ErrNoAnswer) Error() string {
	subject := e.Subject
	if subject != "" {
		subject += ": "
	}
	if e.Mountpoint == "" {
		return plaintext.Sprintf("%slook at %s: there is too much to look at in time", subject, e.Path)
	}
	return plaintext.Sprintf("%slook at %s: the file system at %s, of type %s, does not answer: bring its server back, or unmount it",
		subject, e.Path, e.Mountpoint, e.FileSystem)
}

// Unavailable is the error's class.
func (ErrNoAnswer) Unavailable() {}

// watch follows one look at files of the host. A nil watch follows nothing.
type watch struct {
	ctx context.Context // of the look; it ends when no caller waits any more

	mu      sync.Mutex // guards what follows
	subject string
	place   string // that the kernel is asked for
	since   time.Time
	ended   bool
	hangs   int   // the id of the mount that does not answer, once the look was given up
	refused error // why the look goes no further
}

// about says what names the paths that follow.
func (w *watch) about(subject string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subject = subject
}

// look comes before the kernel is asked for a place. After an error the place
// must be left alone: it hangs already, or no caller waits.
func (w *watch) look(place, _ string) error {
	if w == nil {
		return nil
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	m, hangs := silent.find(place)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.place, w.since = place, time.Now()
	if hangs {
		w.refused = w.noAnswerLocked(m)
	}
	return w.refused
}

func (w *watch) noAnswerLocked(m mountOfHost) error {
	return ErrNoAnswer{Subject: w.subject, Path: w.place, Mountpoint: m.point, FileSystem: m.kind}
}

// attend returns what ask returns, or an [ErrNoAnswer] when that takes longer
// than patience, or the cause of the end of ctx. Then ask goes on until its file
// system answers; the file system is asked no more until it has.
func attend[T any](ctx context.Context, patience time.Duration, ask func(*watch) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	type result struct {
		value    T
		err      error
		panicked any
	}
	w := &watch{ctx: ctx, since: time.Now()}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			r.panicked = recover()
			w.end()
			done <- r
		}()
		r.value, r.err = ask(w)
	}()
	var none T
	select {
	case r := <-done:
		if r.panicked != nil {
			panic(r.panicked) // where callers expect it
		}
		if err := w.refusal(); err != nil {
			return none, err
		}
		if ctx.Err() != nil {
			return none, w.giveUp(patience)
		}
		return r.value, r.err
	case <-ctx.Done():
		return none, w.giveUp(patience)
	}
}

var errPatience = errors.New("it takes too long")

func (w *watch) refusal() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}

// end lets the file system that kept the look be asked again.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.hangs != 0 {
		silent.remove(w.hangs)
	}
}

// giveUp returns why the look is no longer waited for. A place that has kept it
// for most of its time is in a file system that does not answer.
func (w *watch) giveUp(patience time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var m mountOfHost
	if !w.ended && w.place != "" && time.Since(w.since) >= min(patience/2, silence) {
		m = mountOf(w.place)
		w.hangs = m.id
		silent.add(m)
	}
	if cause := context.Cause(w.ctx); !errors.Is(cause, errPatience) {
		return cause
	}
	return w.noAnswerLocked(m)
}

// silence is how long a file system that answers takes for one path at most.
const silence = time.Second

// mountOfHost is the mount that a place of the host is on.
type mountOfHost struct {
	id    int // 0 if it is not known
	point string
	kind  string
}

// silent are the mounts that do not answer, because a look at them was given up
// and has not returned. One thread for each hangs, not one for each path.
var silent silentMounts

type silentMounts struct {
	mu    sync.Mutex
	looks map[int]int // that hang, by the id of the mount
}

func (s *silentMounts) add(m mountOfHost) {
	if m.id == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looks == nil {
		s.looks = make(map[int]int)
	}
	s.looks[m.id]++
}

func (s *silentMounts) remove(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looks[id]--; s.looks[id] <= 0 {
		delete(s.looks, id)
	}
}

// find returns the mount that a place is on if that does not answer.
func (s *silentMounts) find(place string) (m mountOfHost, hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.looks) == 0 {
		return m, false
	}
	m = mountOf(place)
	return m, s.looks[m.id] > 0
}
