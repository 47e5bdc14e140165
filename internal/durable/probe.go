package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// CanMove reports whether a file can be renamed from one directory into another,
// which it can't between file systems, or mounts. It tries with an empty file,
// and the error says why nothing can be written to either directory. On a full
// disk it is not known, and the answer is yes.
func (f *FS) CanMove(from, to string) (movable bool, err error) {
	movable = true
	err = f.step("probe", from, func() error {
		err := canMove(from, to)
		if errors.Is(err, syscall.EXDEV) {
			movable = false
			return nil
		}
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			return nil
		}
		return err
	})
	return movable, err
}

// probeName is what CanMove leaves if the process crashes, and replaces.
const probeName = ".rename-check"

// probing is held by the one probe that runs: all use the same name, so that a
// crash leaves no more than one file in a directory.
var probing sync.Mutex

// canMove tries again and again: a sweep of from can delete the file as garbage.
func canMove(from, to string) (err error) {
	probing.Lock()
	defer probing.Unlock()
	for range 100 {
		if err = tryMove(from, to); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

func tryMove(from, to string) error {
	source, target := filepath.Join(from, probeName), filepath.Join(to, probeName)
	_ = os.Remove(source) // what a crash left
	file, err := os.OpenFile(source, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Rename(source, target); err != nil {
		_ = os.Remove(source) // the next one does
		return err
	}
	return os.Remove(target)
}

// ForgetProbe deletes what a crash during CanMove left in dir. An error is none
// of its caller's: the next probe deletes it as well.
func (f *FS) ForgetProbe(dir string) {
	left := filepath.Join(dir, probeName)
	if _, err := os.Lstat(left); err == nil {
		_ = f.Unlink(left)
	}
}
