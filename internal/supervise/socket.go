// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/socketpath"
)

// Sockets waits for unix sockets to accept connections. One serves all
// plugins, because inotify instances are few, and because closing one costs
// the kernel more than ten milliseconds. While a host has no free instance or
// watch, it polls instead. It is safe for concurrent use.
type Sockets struct {
	mu      sync.Mutex
	watcher *fsnotify.Watcher // nil until one was needed and there was one
	done    chan struct{}     // closed when the watcher's events end
	closed  bool
	waiting map[string]chan struct{} // by directory; gets at most one wake-up

	looks bounded.Lines[string] // by directory of a plugin
}

// NewSockets returns a Sockets that watches nothing yet. The caller must call
// Close.
func NewSockets() *Sockets {
	return &Sockets{waiting: make(map[string]chan struct{})}
}

// Close ends the watch. Awaits in progress continue until their contexts end.
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

// Await blocks until the socket name in dir accepts connections, or until ctx ends
// or dir is gone: then a [NoSocketError] lists the files that are there. Only one
// Await at a time may watch dir. A look at dir that hangs in a file system does not
// delay Await beyond ctx. Until it returns, no other Await looks at dir.
func (s *Sockets) Await(ctx context.Context, dir, name string) error {
	w := &watch{sockets: s, wake: make(chan struct{}, 1)}
	// bind creates the file, but listen causes no inotify event: poll between the
	// two, and where nothing can be watched.
	const maxPause = 50 * time.Millisecond
	for pause := time.Millisecond; ; pause = min(2*pause, maxPause) {
		seen, err := s.look(ctx, w, dir, name)
		switch {
		case err != nil:
			return &NoSocketError{Name: name, Err: err}
		case seen.accepts:
			w.end()
			return nil
		case seen.over != nil:
			w.end()
			return &NoSocketError{Name: name, Found: seen.names, Err: seen.over}
		}
		var clock <-chan time.Time
		if seen.exists || !seen.watched {
			clock = time.After(pause)
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-clock:
		}
	}
}

// sight is the result of a look at a directory of sockets.
type sight struct {
	accepts bool  // the socket does
	exists  bool  // there is a file of its name
	watched bool  // each change that matters causes an event
	over    error // why further looks are useless
	names   []string
}

// look looks at dir. After ctx has ended it looks a last time, because the plugin
// may have been ready in time while this process was suspended. An error means
// that a look hangs; the watch ends when it returns.
func (s *Sockets) look(ctx context.Context, w *watch, dir, name string) (sight, error) {
	over := context.Cause(ctx)
	if over != nil {
		const patience = 100 * time.Millisecond
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		ctx = last
	}
	call, err := bounded.StartFor(ctx, &s.looks, dir, func() (sight, error) {
		if over != nil {
			return w.lastLook(dir, name, over), nil
		}
		return w.look(dir, name), nil
	})
	if err != nil {
		w.end()
		return sight{}, fmt.Errorf("an earlier look at it hangs in a file system: %w", cmp.Or(over, err))
	}
	seen, returned, err := call.Await(ctx)
	if !returned {
		go func() {
			<-call.Done()
			w.end()
		}()
		return seen, fmt.Errorf("the look at it hangs in a file system: %w", cmp.Or(over, err))
	}
	return seen, err
}

func (w *watch) look(dir, name string) sight {
	if accepts(dir, name) {
		return sight{accepts: true}
	}
	// Adding a watch holds a lock of all watches, so dir must answer first.
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		// Files that the process makes in a deleted directory can't be reached.
		// The next start makes a new directory.
		return sight{over: err}
	}
	watched := w.add(dir) == nil
	watched = w.descend(dir, name) && watched
	if accepts(dir, name) {
		return sight{accepts: true}
	}
	_, err := os.Lstat(filepath.Join(dir, name))
	return sight{exists: err == nil, watched: watched}
}

func (w *watch) lastLook(dir, name string, over error) sight {
	if errors.Is(over, context.DeadlineExceeded) && accepts(dir, name) {
		return sight{accepts: true}
	}
	return sight{over: over, names: names(dir)}
}

func accepts(dir, name string) bool {
	conn, err := socketpath.Connect(dir, name)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// watch holds the directories that one Await watches: the directory of the
// sockets, and subdirectories on the way to the socket.
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
// returns false if a directory can't be watched.
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

// end ends the watch, except of directories that a later Await has taken
// over: an earlier one may have hung.
func (w *watch) end() {
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

const (
	// enoughNames bounds the names of files in an error.
	enoughNames = 10
	// maxLooked bounds how many entries are read for them, and maxNameDepth how
	// deep, because a process can make any number of files.
	maxLooked    = 100
	maxNameDepth = 4
)

// names lists some of the files that the process made, so that an error can show
// that the socket has a wrong name. It reads nothing outside dir.
func names(dir string) []string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	looked := maxLooked
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
