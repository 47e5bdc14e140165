// Package socketpath reaches unix sockets whose paths are longer than a
// sockaddr_un takes: through a descriptor of a directory above them, as
// /proc/self/fd/N/name. See unix(7) and proc(5).
package socketpath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Max is the longest path that fits a sockaddr_un, without the NUL at its end.
const Max = 107

// Directory is a directory below which there are sockets, or will be. It is
// safe for concurrent use. Close must follow.
type Directory struct {
	path string

	mu     sync.Mutex
	opened []*os.File // the last one is the directory that is at path now
}

// New takes the directory at path, which need not exist yet.
func New(path string) *Directory { return &Directory{path: path} }

// Path returns the path of the socket name, which may have slashes: the plain
// one if it fits, else one through a descriptor. The latter is valid in this
// process only, and until Close. The error is a [TooLongError], or says why the
// directory can't be opened.
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

// open returns a descriptor of the directory, a new one if another directory
// has taken its place.
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

// Close makes the paths through descriptors invalid.
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

// TooLongError reports a socket that no path of at most [Max] bytes reaches.
type TooLongError struct {
	Path  string // of the socket
	Short string // the shortest one
}

func (e *TooLongError) Error() string {
	return plaintext.Sprintf("%s has %d bytes, and %d through a descriptor of its directory; the system allows %d: shorten the directory or the socket's name",
		e.Path, len(e.Path), len(e.Short), Max)
}
