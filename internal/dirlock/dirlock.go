// Package dirlock locks a directory against other processes. The lock is on
// the directory itself, so that no file betrays it, and the death of the
// process frees it.
package dirlock

import (
	"errors"
	"os"
	"time"
)

// ErrLocked refuses a directory that is locked already, by another process or
// by another descriptor of this one.
var ErrLocked = errors.New("locked by another process")

const (
	// inheritance is how long a lock can outlive its process: a child that was
	// being started holds a copy of the descriptor until its program has been
	// loaded, see flock(2) and execve(2).
	inheritance = time.Second
	lookEvery   = 10 * time.Millisecond
)

// Lock locks dir until the file that it returns is closed. It waits for a
// second at most; the error is [ErrLocked] if dir is locked for longer. Where
// there is no flock(2) it locks nothing.
func Lock(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := lockSoon(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// lockSoon locks the file. A lock that outlives its process for a moment ends
// without an event, so the clock is asked.
func lockSoon(file *os.File) error {
	limit := time.NewTimer(inheritance)
	defer limit.Stop()
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		err := lockFile(file)
		if !errors.Is(err, ErrLocked) {
			return err
		}
		select {
		case <-again.C:
		case <-limit.C:
			return err
		}
	}
}
