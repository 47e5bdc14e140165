package supervise

import (
	"context"
	"fmt"
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
// the kernel more than ten milliseconds. It is safe for concurrent use.
type Sockets struct {
	watcher *fsnotify.Watcher
	done    chan struct{}

	mu      sync.Mutex
	waiting map[string]chan struct{} // by directory; gets at most one wake-up
}

// NewSockets begins to watch nothing. Close must follow.
func NewSockets() (*Sockets, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch for sockets: %w", err)
	}
	s := &Sockets{watcher: watcher, done: make(chan struct{}), waiting: make(map[string]chan struct{})}
	go s.run()
	return s, nil
}

// Close ends the watch. Those who wait go on until their contexts end.
func (s *Sockets) Close() error {
	err := s.watcher.Close()
	<-s.done
	return err
}

// Await blocks until something accepts connections on the socket name in dir,
// which must exist and be watched by no other Await, or until ctx ends: then a
// [NoSocketError] tells what is there instead.
func (s *Sockets) Await(ctx context.Context, dir, name string) error {
	path := filepath.Join(dir, name)
	if accepts(ctx, dir, name) {
		return nil
	}
	w := &watch{sockets: s, wake: make(chan struct{}, 1)}
	defer w.forget()
	if err := w.add(dir); err != nil {
		return err
	}
	// A socket shows up with bind and accepts only from listen on, of which
	// no event tells: between the two, and only then, the clock is asked.
	const maxPause = 50 * time.Millisecond
	pause := time.Millisecond
	for {
		w.descend(dir, name)
		if accepts(ctx, dir, name) {
			return nil
		}
		var bound <-chan time.Time
		if _, err := os.Lstat(path); err == nil {
			bound = time.After(pause)
			pause = min(2*pause, maxPause)
		}
		select {
		case <-ctx.Done():
			if acceptsNow(ctx, dir, name) {
				return nil
			}
			return &NoSocketError{Name: name, Found: names(dir), Err: context.Cause(ctx)}
		case <-w.wake:
		case <-bound:
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
	wake    chan struct{}
	dirs    []string
}

func (w *watch) add(dir string) error {
	if !slices.Contains(w.dirs, dir) {
		w.dirs = append(w.dirs, dir)
		w.sockets.mu.Lock()
		w.sockets.waiting[dir] = w.wake
		w.sockets.mu.Unlock()
	}
	if err := w.sockets.watcher.Add(dir); err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	return nil
}

// descend watches the directories on the way to name that the process has made
// by now. One that it has removed is watched again when it comes back.
func (w *watch) descend(dir, name string) {
	rest := strings.Split(filepath.Clean(name), string(filepath.Separator))
	for _, component := range rest[:len(rest)-1] {
		dir = filepath.Join(dir, component)
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || w.add(dir) != nil {
			return // its parent tells when there is something to look at
		}
	}
}

func (w *watch) forget() {
	for _, dir := range w.dirs {
		w.sockets.mu.Lock()
		own := w.sockets.waiting[dir] == w.wake // not of an Await that came later
		if own {
			delete(w.sockets.waiting, dir)
		}
		w.sockets.mu.Unlock()
		if own {
			_ = w.sockets.watcher.Remove(dir) // it fails if the directory has gone
		}
	}
}

func (s *Sockets) run() {
	defer close(s.done)
	for {
		select {
		case event, ok := <-s.watcher.Events:
			if !ok {
				return
			}
			s.wake(filepath.Dir(event.Name))
		case _, ok := <-s.watcher.Errors:
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
