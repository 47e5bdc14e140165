// SPDX-License-Identifier: Apache-2.0

// Package dirlock locks a directory against other processes. The lock is on the
// directory itself, so that it needs no lock file, and the kernel releases it
// when the process dies.
package dirlock

import (
	"errors"
	"os"
	"time"
)

// ErrLocked reports a directory that is already locked by another process, or by
// another descriptor of this process.
var ErrLocked = errors.New("locked by another process")

const (
	// inheritance is how long a lock can outlive its process: a forked child
	// holds a copy of the descriptor until execve closes it. See
	// https://man7.org/linux/man-pages/man2/flock.2.html
	inheritance = time.Second
	// retryEvery is short compared with inheritance.
	retryEvery = 10 * time.Millisecond
)

// Lock locks dir until the returned file is closed. It waits for at most a second,
// and returns [ErrLocked] if dir is locked for longer. On systems without flock(2)
// it locks nothing.
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

// lockSoon locks the file. It polls, because flock(2) can't wait with a time
// limit.
func lockSoon(file *os.File) error {
	limit := time.NewTimer(inheritance)
	defer limit.Stop()
	again := time.NewTicker(retryEvery)
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
