package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/socketpath"
)

// Sockets waits for unix sockets to accept connections. One serves all
// plugins, because inotify instances are few, and because closing one costs
// the kernel more than ten milliseconds. While a host has no instance or watch
// to give, the clock is asked instead. It is safe for concurrent use.
type Sockets struct {
	mu      sync.Mutex
	watcher *fsnotify.Watcher // nil until one was needed and there was one
	done    chan struct{}     // closed when the watcher's events end
	closed  bool
	waiting map[string]chan struct{} // by directory; gets at most one wake-up
}

// NewSockets begins to watch nothing. Close must follow.
func NewSockets() *Sockets {
	return &Sockets{waiting: make(map[string]chan struct{})}
}

// Close ends the watch. Awaits in progress go on until their contexts end.
func (s *Sockets) Close() error {
	s.mu.Lock()
	s.closed = true
	watcher, done := s.watcher, s.done
	s.mu.Unlock()
	if watcher == nil {
		return nil
	}
	err := watcher.Close()
	<-done
	return err
}

// open returns the watcher. It makes one if there is none yet: an instance may
// have become free.
func (s *Sockets) open() (*fsnotify.Watcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fsnotify.ErrClosed
	}
	if s.watcher != nil {
		return s.watcher, nil
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	s.watcher, s.done = watcher, make(chan struct{})
	go s.run(watcher, s.done)
	return watcher, nil
}

// Await blocks until something accepts connections on the socket name in dir,
// which must be watched by no other Await, or until ctx ends or dir is gone:
// then a [NoSocketError] lists what is there instead.
func (s *Sockets) Await(ctx context.Context, dir, name string) error {
	path := filepath.Join(dir, name)
	if accepts(ctx, dir, name) {
		return nil
	}
	w := &watch{sockets: s, wake: make(chan struct{}, 1)}
	defer w.forget()
	// A socket shows up with bind and accepts only from listen on, of which
	// there is no event: between the two, and where nothing can be watched, the
	// clock is asked.
	const maxPause = 50 * time.Millisecond
	pause := time.Millisecond
	for {
		watched := w.add(dir) == nil
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			// What the process makes in a directory that was deleted is not
			// reachable. The next start makes a new one.
			return &NoSocketError{Name: name, Err: err}
		}
		watched = w.descend(dir, name) && watched
		if accepts(ctx, dir, name) {
			return nil
		}
		var clock <-chan time.Time
		if _, err := os.Lstat(path); err == nil || !watched {
			clock = time.After(pause)
			pause = min(2*pause, maxPause)
		}
		select {
		case <-ctx.Done():
			if acceptsNow(ctx, dir, name) {
				return nil
			}
			return &NoSocketError{Name: name, Found: names(dir), Err: context.Cause(ctx)}
		case <-w.wake:
		case <-clock:
		}
	}
}

// acceptsNow looks once more when the time is up: if this process was stopped
// meanwhile, the plugin may have been ready in time.
func acceptsNow(ctx context.Context, dir, name string) bool {
	if context.Cause(ctx) != context.DeadlineExceeded {
		return false
	}
	const patience = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return accepts(ctx, dir, name)
}

// watch is what one Await watches: the directory of the sockets, and those on
// the way to a socket that is in a directory of its own.
type watch struct {
	sockets *Sockets
	watcher *fsnotify.Watcher // nil before the first of dirs
	wake    chan struct{}
	dirs    []string
}

// add watches a directory, anew if another one is in its place.
func (w *watch) add(dir string) error {
	watcher, err := w.sockets.open()
	if err != nil {
		return err
	}
	w.watcher = watcher
	if !slices.Contains(w.dirs, dir) {
		w.dirs = append(w.dirs, dir)
		w.sockets.mu.Lock()
		w.sockets.waiting[dir] = w.wake
		w.sockets.mu.Unlock()
	}
	return watcher.Add(dir)
}

// descend watches the directories on the way to name that the process has made
// by now. A directory that was removed is watched again when it comes back. It
// reports false if there is one that can't be watched.
func (w *watch) descend(dir, name string) (watched bool) {
	rest := strings.Split(filepath.Clean(name), string(filepath.Separator))
	for _, component := range rest[:len(rest)-1] {
		dir = filepath.Join(dir, component)
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			return true // there is an event of its parent when it comes
		}
		if err := w.add(dir); err != nil {
			return errors.Is(err, fs.ErrNotExist)
		}
	}
	return true
}

// forget ends the watch, except of directories that a later Await has taken
// over: an earlier one may have hung.
func (w *watch) forget() {
	for _, dir := range w.dirs {
		if w.disown(dir) {
			_ = w.watcher.Remove(dir) // it fails if the directory has gone
		}
	}
}

func (w *watch) disown(dir string) bool {
	w.sockets.mu.Lock()
	defer w.sockets.mu.Unlock()
	if w.sockets.waiting[dir] != w.wake {
		return false
	}
	delete(w.sockets.waiting, dir)
	return true
}

func (s *Sockets) run(watcher *fsnotify.Watcher, done chan struct{}) {
	defer close(done)
	for {
		select {
		case event, ok := <-watcher.Events:
			if !ok {
				return
			}
			s.wake(filepath.Dir(event.Name))
			s.wake(event.Name) // a watched directory was removed
		case _, ok := <-watcher.Errors:
			if !ok {
				return
			}
			s.wakeAll() // events may be lost: all look
		}
	}
}

func (s *Sockets) wake(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wake, ok := s.waiting[dir]; ok {
		notify(wake)
	}
}

func (s *Sockets) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, wake := range s.waiting {
		notify(wake)
	}
}

func accepts(ctx context.Context, dir, name string) bool {
	if !leadsInside(dir, name) {
		return false
	}
	directory := socketpath.New(dir)
	defer directory.Close()
	path, err := directory.Path(name)
	if err != nil {
		return false
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// leadsInside reports whether name, which the process made, is not a link to
// somebody else's socket. A process may replace it later.
func leadsInside(dir, name string) bool {
	within, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	socket, err := filepath.EvalSymlinks(filepath.Join(dir, name))
	return err == nil && strings.HasPrefix(socket, within+string(filepath.Separator))
}

const (
	// enoughNames are named in an error, of those that a process made.
	enoughNames = 10
	// mostLooked bounds how much is looked at for them, and maxNameDepth how deep:
	// a process can make as many files as it likes.
	mostLooked   = 100
	maxNameDepth = 4
)

// names lists some of what the process made, to tell a wrong name from a missing
// one. It looks at nothing outside dir.
func names(dir string) []string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	looked := mostLooked
	var found []string
	addNames(root, ".", &looked, &found)
	slices.Sort(found)
	return found
}

func addNames(root *os.Root, dir string, looked *int, found *[]string) {
	opened, err := root.Open(dir)
	if err != nil {
		return
	}
	entries, _ := opened.ReadDir(*looked) // those that could be read
	_ = opened.Close()
	*looked -= len(entries)
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		switch {
		case entry.IsDir() && *looked > 0 && strings.Count(name, "/") < maxNameDepth:
			addNames(root, name, looked, found)
		case !entry.IsDir() && len(*found) < enoughNames:
			if target, err := root.Readlink(name); err == nil {
				name += " -> " + target
			}
			*found = append(*found, name)
		}
	}
}

// NoSocketError reports that nothing accepted connections in time.
type NoSocketError struct {
	Name  string
	Found []string // files that are there
	Err   error
}

func (e *NoSocketError) Error() string {
	text := fmt.Sprintf("socket %q does not accept connections", e.Name)
	if len(e.Found) > 0 {
		text += fmt.Sprintf(", found %q", e.Found)
	}
	return plaintext.Sprintf("%s: %v", text, e.Err)
}

// Unwrap returns why the wait ended.
func (e *NoSocketError) Unwrap() error { return e.Err }
