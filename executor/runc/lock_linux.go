package runc

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lock is one executor's hold of its directory. It is a flock(2) on the
// directory itself: no file betrays it, and the death of the process frees it.
type lock struct {
	file *os.File
	info os.FileInfo
	// owner is the executor that holds the directory within this process.
	owner *Executor
}

var (
	locksMu sync.Mutex
	locks   []*lock
)

// take locks directory root for e. Another process that holds it is a
// [LockedError]. An older executor of this process is closed, and its lock
// changes hands without a moment in which another process could get it.
func take(root string, e *Executor) (*lock, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	locksMu.Lock()
	held := heldLocked(info)
	if held == nil {
		defer locksMu.Unlock()
		return lockLocked(root, info, e)
	}
	older := held.owner
	held.owner = e
	locksMu.Unlock()
	// What the older one can't end now, it ends without touching the directory.
	_ = older.Close()
	return held, nil
}

func heldLocked(info os.FileInfo) *lock {
	i := slices.IndexFunc(locks, func(l *lock) bool { return os.SameFile(l.info, info) })
	if i < 0 {
		return nil
	}
	return locks[i]
}

func lockLocked(root string, info os.FileInfo, e *Executor) (*lock, error) {
	file, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	if err := flock(file); err != nil {
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &LockedError{Directory: root}
		}
		return nil, fmt.Errorf("lock %s: %w", root, err)
	}
	l := &lock{file: file, info: info, owner: e}
	locks = append(locks, l)
	return l, nil
}

// flock locks file. A process that was killed while it started another holds on
// until that has been executed, which takes no event but a moment.
func flock(file *os.File) error {
	limit := time.NewTimer(handover)
	defer limit.Stop()
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-again.C:
		case <-limit.C:
			return err
		}
	}
}

// heldBy reports whether no newer executor has taken the directory over.
func (l *lock) heldBy(e *Executor) bool {
	locksMu.Lock()
	defer locksMu.Unlock()
	return l.owner == e
}

// release frees the directory, unless a newer executor has taken it over.
func (l *lock) release(e *Executor) {
	locksMu.Lock()
	defer locksMu.Unlock()
	if l.owner != e {
		return
	}
	l.file.Close()
	locks = slices.DeleteFunc(locks, func(held *lock) bool { return held == l })
}
