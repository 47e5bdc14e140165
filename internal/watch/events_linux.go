// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// run reads events until the watch ends.
func (t *Tree) run() {
	defer close(t.changes)
	err := t.read()
	if !errors.Is(err, os.ErrClosed) {
		t.err = errors.Join(err, t.inotify.Close())
	}
}

// read reports changes when nothing has changed for a while. A deadline of the read is
// the clock.
func (t *Tree) read() error {
	var first time.Time // of the changes that are not reported yet
	buffer := make([]byte, 64<<10)
	for {
		n, err := t.inotify.Read(buffer)
		late := errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !late {
			return err
		}
		changed, err := t.apply(buffer[:max(n, 0)])
		if err != nil {
			return err
		}
		now := time.Now()
		if changed && first.IsZero() {
			first = now
		}
		var deadline time.Time
		switch {
		case late || !first.IsZero() && now.Sub(first) > patience:
			first = time.Time{}
			select {
			case t.changes <- struct{}{}:
			default: // it has an item already
			}
		case !first.IsZero():
			deadline = now.Add(quiet)
		}
		if err := t.inotify.SetReadDeadline(deadline); err != nil {
			return err
		}
	}
}

// apply follows the events in data, and reports whether one of them is a change.
func (t *Tree) apply(data []byte) (changed bool, err error) {
	for len(data) > 0 {
		var event unix.InotifyEvent
		if err := binary.Read(bytes.NewReader(data), binary.NativeEndian, &event); err != nil {
			return changed, err
		}
		data = data[unix.SizeofInotifyEvent:]
		if int64(event.Len) > int64(len(data)) {
			return changed, io.ErrUnexpectedEOF
		}
		name, _, _ := bytes.Cut(data[:event.Len], []byte{0})
		data = data[event.Len:]
		matters, err := t.follow(event, string(name))
		if err != nil {
			return changed, err
		}
		changed = changed || matters
	}
	return changed, nil
}

// follow keeps the watches in step with an event, and reports whether it is a change.
func (t *Tree) follow(event unix.InotifyEvent, name string) (bool, error) {
	has := func(bits uint32) bool { return event.Mask&bits != 0 }
	if has(unix.IN_Q_OVERFLOW) { // events are lost
		return true, t.add(t.top)
	}
	directory, known := t.directories[event.Wd]
	switch {
	case !known || name != "" && t.skips(name):
		return false, nil
	case has(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_UNMOUNT|unix.IN_IGNORED) && directory == t.top:
		return false, &Error{t.top, "it was removed or renamed"}
	case has(unix.IN_IGNORED):
		delete(t.directories, event.Wd)
		return false, nil
	case name == "":
		return false, nil // of the directory itself: the parent has the event
	}
	path := filepath.Join(directory, name)
	switch {
	case has(unix.IN_ISDIR) && has(unix.IN_MOVED_FROM):
		t.forget(path)
	case has(unix.IN_ISDIR) && has(unix.IN_CREATE|unix.IN_MOVED_TO):
		return true, t.add(path)
	case has(unix.IN_CREATE):
		return !isBeingWritten(path), nil
	}
	return true, nil
}

// isBeingWritten reports whether an event will come when a new file is closed. None comes
// for a second name of a file, and for files that are not regular.
func isBeingWritten(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	return ok && status.Nlink == 1
}
