// SPDX-License-Identifier: Apache-2.0

// Package socketpath reaches Unix sockets with paths that are too long for a
// sockaddr_un. It uses a descriptor of a parent directory: /proc/self/fd/N/name.
// See https://man7.org/linux/man-pages/man7/unix.7.html.
package socketpath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Max is the length of the longest path that fits into a sockaddr_un, without the
// terminating NUL.
const Max = 107

// Directory is a directory with sockets below it. It is safe for concurrent use.
// The caller closes it.
type Directory struct {
	path string

	mu     sync.Mutex
	opened []*os.File // the last is the directory at path, unless that was replaced
}

// New returns the directory at path, which need not exist yet.
func New(path string) *Directory { return &Directory{path: path} }

// Path returns the path of the socket name, which may contain slashes: the plain
// path if it fits, and a path through a descriptor otherwise. The latter is valid
// only in this process and until Close. The error is a [TooLongError], or the
// reason why the directory can't be opened.
func (d *Directory) Path(name string) (string, error) {
	plain := filepath.Join(d.path, name)
	if len(plain) <= Max {
		return plain, nil
	}
	descriptor, err := d.open()
	if err != nil {
		return "", err
	}
	short := fmt.Sprintf("/proc/self/fd/%d/%s", descriptor, filepath.Clean(name))
	if len(short) > Max {
		return "", &TooLongError{Path: plain, Short: short}
	}
	return short, nil
}

// open returns a descriptor of the directory. It opens a new one if the directory
// at path was replaced.
func (d *Directory) open() (descriptor uintptr, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, err := os.Stat(d.path)
	if err != nil {
		return 0, err
	}
	if len(d.opened) > 0 {
		last := d.opened[len(d.opened)-1]
		if then, err := last.Stat(); err == nil && os.SameFile(then, now) {
			return last.Fd(), nil
		}
	}
	file, err := os.Open(d.path)
	if err != nil {
		return 0, err
	}
	d.opened = append(d.opened, file)
	return file.Fd(), nil
}

// Close closes the descriptors and thereby invalidates the paths through them.
func (d *Directory) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var problems []error
	for _, file := range d.opened {
		problems = append(problems, file.Close())
	}
	d.opened = nil
	return errors.Join(problems...)
}

// TooLongError reports a socket that has no path of at most [Max] bytes.
type TooLongError struct {
	Path  string // the plain path
	Short string // the path through a descriptor
}

func (e *TooLongError) Error() string {
	return plaintext.Sprintf("socket path %s has %d bytes, or %d through a descriptor of its directory, but the system allows %d: shorten the directory or the name of the socket",
		e.Path, len(e.Path), len(e.Short), Max)
}
