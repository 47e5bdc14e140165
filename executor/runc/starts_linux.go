// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/dovetailhq/plugin/internal/logging"
)

// pidWatcher waits for pid files, which a runtime writes when its container has
// started. One watcher serves all runs, because inotify instances are few. On a
// host without free instances or watches it polls instead.
type pidWatcher struct {
	watcher *fsnotify.Watcher // nil if there is none
	done    chan struct{}

	mu      sync.Mutex
	waiting map[bundle]chan int
}

// lookEvery is the interval of polling a bundle that can't be watched.
const lookEvery = 10 * time.Millisecond

func newPidWatcher() *pidWatcher {
	s := &pidWatcher{done: make(chan struct{}), waiting: make(map[bundle]chan int)}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		logging.L().WithError(err).Warn("watch starts of plugins; polling instead: raise fs.inotify.max_user_instances")
		close(s.done)
		return s
	}
	s.watcher = watcher
	go s.run()
	return s
}

// expect returns a channel that gets the pid as soon as b has one, and a
// function that ends the expectation and must be called.
func (s *pidWatcher) expect(b bundle) (started <-chan int, unwatch func()) {
	arrived, unwatched := make(chan int, 1), make(chan struct{})
	s.mu.Lock()
	s.waiting[b] = arrived
	s.mu.Unlock()
	if s.watcher == nil || s.watcher.Add(string(b)) != nil {
		go s.look(b, unwatched)
	}
	return arrived, func() {
		close(unwatched)
		s.mu.Lock()
		delete(s.waiting, b)
		s.mu.Unlock()
		if s.watcher != nil {
			// It fails if the directory is gone, and the watch with it.
			_ = s.watcher.Remove(string(b))
		}
	}
}

// look polls b until unwatched is closed.
func (s *pidWatcher) look(b bundle, unwatched <-chan struct{}) {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		s.check(b)
		select {
		case <-again.C:
		case <-unwatched:
			return
		}
	}
}

func (s *pidWatcher) close() {
	if s.watcher != nil {
		s.watcher.Close()
	}
	<-s.done
}

func (s *pidWatcher) run() {
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
			// Events may be lost: check all bundles.
			s.checkAll()
		}
	}
}

func (s *pidWatcher) checkAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := range s.waiting {
		s.checkLocked(b)
	}
}

func (s *pidWatcher) check(b bundle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkLocked(b)
}

// checkLocked sends the pid of b to its waiter, unless the pid file is still
// empty: crun creates it first and writes it later, and each is an event.
func (s *pidWatcher) checkLocked(b bundle) {
	arrived, ok := s.waiting[b]
	if !ok {
		return
	}
	if pid, ok := b.pid(); ok {
		delete(s.waiting, b)
		arrived <- pid
	}
}
