package runc

import (
	"fmt"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// starts tells of pid files as they appear: a runtime writes its container's
// when that has started. One watcher serves all runs, for inotify instances
// are few.
type starts struct {
	watcher *fsnotify.Watcher
	done    chan struct{}

	mu      sync.Mutex
	waiting map[bundle]chan int
}

func newStarts() (*starts, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch for started plugins: %w", err)
	}
	s := &starts{watcher: watcher, done: make(chan struct{}), waiting: make(map[bundle]chan int)}
	go s.run()
	return s, nil
}

// expect returns a channel that gets the pid as soon as b has one, and a
// function that ends the expectation and must be called.
func (s *starts) expect(b bundle) (started <-chan int, forget func(), err error) {
	arrived := make(chan int, 1)
	s.mu.Lock()
	s.waiting[b] = arrived
	s.mu.Unlock()
	forget = func() {
		s.mu.Lock()
		delete(s.waiting, b)
		s.mu.Unlock()
		// It fails if the directory is gone, and the watch with it.
		_ = s.watcher.Remove(string(b))
	}
	if err := s.watcher.Add(string(b)); err != nil {
		forget()
		return nil, nil, fmt.Errorf("watch %s: %w", b, err)
	}
	return arrived, forget, nil
}

func (s *starts) close() {
	s.watcher.Close()
	<-s.done
}

func (s *starts) run() {
	defer close(s.done)
	for {
		select {
		case event, ok := <-s.watcher.Events:
			if !ok {
				return
			}
			if b := bundle(filepath.Dir(event.Name)); event.Name == b.pidFile() {
				s.check(b)
			}
		case _, ok := <-s.watcher.Errors:
			if !ok {
				return
			}
			// Events may be lost: look everywhere.
			s.checkAll()
		}
	}
}

func (s *starts) checkAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := range s.waiting {
		s.checkLocked(b)
	}
}

func (s *starts) check(b bundle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkLocked(b)
}

// checkLocked tells who waits for b, unless its pid file is still empty: crun
// creates it first and fills it then, and each is an event.
func (s *starts) checkLocked(b bundle) {
	arrived, ok := s.waiting[b]
	if !ok {
		return
	}
	if pid, ok := b.pid(); ok {
		delete(s.waiting, b)
		arrived <- pid
	}
}
