// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// CanMove reports whether a file can be renamed from one directory into another,
// which is impossible between file systems or mounts. It tries with an empty file;
// the error is that of writing to either directory. On a full disk, where it can't
// try, it returns true.
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

// probeName is the file of CanMove, which a crash leaves and the next call
// replaces.
const probeName = ".rename-check"

// probing serializes probes. All use the same name, so that a crash leaves at most
// one file in a directory.
var probing sync.Mutex

// IsProbe reports whether name is the file of CanMove. Sweeps must not delete it,
// because a probe can be in progress; the next probe replaces a file that a crash
// left.
func IsProbe(name string) bool { return name == probeName }

func canMove(from, to string) error {
	probing.Lock()
	defer probing.Unlock()
	source, target := filepath.Join(from, probeName), filepath.Join(to, probeName)
	_ = os.Remove(source) // left by a crash
	file, err := os.OpenFile(source, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Rename(source, target); err != nil {
		_ = os.Remove(source) // else the next probe removes it
		return err
	}
	return os.Remove(target)
}

// ForgetProbe deletes the file that a crash during CanMove left in dir. It ignores
// an error, because the next probe deletes the file as well.
func (f *FS) ForgetProbe(dir string) {
	left := filepath.Join(dir, probeName)
	if _, err := os.Lstat(left); err == nil {
		_ = f.Unlink(left)
	}
}
