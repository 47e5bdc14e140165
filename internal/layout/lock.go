// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"os"
	"sync"

	"github.com/dovetailhq/plugin/internal/dirlock"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// LockedError refuses a root that another process manages. Class Conflict.
type LockedError struct{ Root string }

func (e *LockedError) Error() string {
	return plaintext.Sprintf("plugin root %s is managed by another process: stop it, or use another root", e.Root)
}

// Conflict marks the error's class.
func (e *LockedError) Conflict() {}

// FencedError refuses a change through a Root that was closed, or that lost its
// lock to a newer Root of the same process. Class Unavailable.
type FencedError struct{ Root string }

func (e *FencedError) Error() string {
	return plaintext.Sprintf("plugin root %s is no longer managed by this manager: it was shut down or a newer one took over", e.Root)
}

// Unavailable marks the error's class.
func (e *FencedError) Unavailable() {}

// lock is one Root's lock of a directory. A file lock excludes other processes;
// within this process the newest lock of a directory wins.
type lock struct {
	dir    string
	info   os.FileInfo
	mu     sync.RWMutex // held for reading during each step on disk
	file   *os.File     // nil once released or taken over
	fenced bool
}

var (
	// holdersMu is taken before any lock.mu.
	holdersMu sync.Mutex
	holders   []*lock
)

// acquire locks dir itself: this needs no lock file, and the lock ends with the
// process.
func acquire(dir string) (*lock, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	holdersMu.Lock()
	defer holdersMu.Unlock()
	taken := &lock{dir: dir, info: info}
	for _, older := range holders {
		if os.SameFile(older.info, info) {
			taken.file = older.yield()
			forgetLocked(older)
			break
		}
	}
	if taken.file == nil {
		if taken.file, err = lockDir(dir); err != nil {
			return nil, err
		}
	}
	holders = append(holders, taken)
	return taken, nil
}

func forgetLocked(l *lock) {
	for i, held := range holders {
		if held == l {
			holders = append(holders[:i], holders[i+1:]...)
			return
		}
	}
}

// yield fences the lock after the steps in progress.
func (l *lock) yield() *os.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	file := l.file
	l.file, l.fenced = nil, true
	return file
}

func (l *lock) check() error {
	leave, err := l.enter()
	if err == nil {
		leave()
	}
	return err
}

// enter begins a step on disk. No other Root takes the directory over before leave.
func (l *lock) enter() (leave func(), err error) {
	l.mu.RLock()
	if l.fenced {
		l.mu.RUnlock()
		return nil, &FencedError{Root: l.dir}
	}
	return l.mu.RUnlock, nil
}

func (l *lock) release() error {
	holdersMu.Lock()
	defer holdersMu.Unlock()
	forgetLocked(l)
	file := l.yield()
	if file == nil {
		return nil
	}
	return file.Close()
}

func lockDir(dir string) (*os.File, error) {
	file, err := dirlock.Lock(dir)
	if errors.Is(err, dirlock.ErrLocked) {
		return nil, &LockedError{Root: dir}
	}
	return file, err
}
