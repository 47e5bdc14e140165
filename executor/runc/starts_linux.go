package runc

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/dovetailhq/plugin/internal/logging"
)

// starts waits for pid files: a runtime writes its container's when that has
// started. One watcher serves all runs, because inotify instances are few. A
// host that has no more of them, or no more watches, is looked at instead.
type starts struct {
	watcher *fsnotify.Watcher // nil if there is none
	done    chan struct{}

	mu      sync.Mutex
	waiting map[bundle]chan int
}

// lookEvery is how often a bundle that can't be watched is looked at.
const lookEvery = 10 * time.Millisecond

func newStarts() *starts {
	s := &starts{done: make(chan struct{}), waiting: make(map[bundle]chan int)}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		logging.L().WithError(err).Warn("starts of plugins can't be watched; looking for them instead: raise fs.inotify.max_user_instances")
		close(s.done)
		return s
	}
	s.watcher = watcher
	go s.run()
	return s
}

// expect returns a channel that gets the pid as soon as b has one, and a
// function that ends the expectation and must be called.
func (s *starts) expect(b bundle) (started <-chan int, forget func()) {
	arrived, forgotten := make(chan int, 1), make(chan struct{})
	s.mu.Lock()
	s.waiting[b] = arrived
	s.mu.Unlock()
	if s.watcher == nil || s.watcher.Add(string(b)) != nil {
		go s.look(b, forgotten)
	}
	return arrived, func() {
		close(forgotten)
		s.mu.Lock()
		delete(s.waiting, b)
		s.mu.Unlock()
		if s.watcher != nil {
			// It fails if the directory is gone, and the watch with it.
			_ = s.watcher.Remove(string(b))
		}
	}
}

// look looks at b until it is forgotten.
func (s *starts) look(b bundle, forgotten <-chan struct{}) {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		s.check(b)
		select {
		case <-again.C:
		case <-forgotten:
			return
		}
	}
}

func (s *starts) close() {
	if s.watcher != nil {
		s.watcher.Close()
	}
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
