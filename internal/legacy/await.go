// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/docker/docker/pkg/plugins"
	"github.com/fsnotify/fsnotify"
)

// sockets is where docker's plugins package looks for sockets.
const sockets = "/run/docker/plugins"

// Await waits for the files of the legacy plugin of a name, until look returns
// nil. It retries after any error of look, because a file can be read while it is
// being written. When the time is up, or halted is closed, Await returns the last
// error. On a host without a free inotify watch it polls.
func Await(name string, wait time.Duration, halted <-chan struct{}, look func(name string) error) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	w := newWatch(name)
	defer w.close()
	for {
		clock := w.add()
		err := look(name)
		if err == nil {
			return nil
		}
		select {
		case <-w.events:
		case <-w.errors: // events may be lost: look
		case <-clock:
		case <-timer.C:
			return err
		case <-halted:
			return err
		}
	}
}

// watch watches the directories in which the files of a legacy plugin can
// appear.
type watch struct {
	directories []string
	watcher     *fsnotify.Watcher // nil if the host has no inotify instance to give
	events      <-chan fsnotify.Event
	errors      <-chan error
}

// newWatch begins to watch nothing. A plugin's files are in one of docker's
// directories, or in a directory of the plugin's name below one.
func newWatch(name string) *watch {
	w := &watch{}
	for _, base := range append([]string{sockets}, plugins.SpecsPaths()...) {
		w.directories = append(w.directories, base, filepath.Join(base, name))
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return w
	}
	w.watcher, w.events, w.errors = watcher, watcher.Events, watcher.Errors
	return w
}

// add watches the directories that exist by now, and the nearest parent of each
// directory that does not. If one can't be watched, the returned clock is the time
// of the next look; otherwise it is nil.
func (w *watch) add() (clock <-chan time.Time) {
	for _, directory := range w.directories {
		if !w.addNearest(directory) {
			return time.After(time.Second) // docker's first pause
		}
	}
	return nil
}

// addNearest reports whether the making of a directory, or in it, has an event.
func (w *watch) addNearest(wanted string) bool {
	if w.watcher == nil {
		return false
	}
	directory, missing := wanted, ""
	for {
		err := w.watcher.Add(directory)
		parent := filepath.Dir(directory)
		switch {
		case err == nil && !lexists(missing):
			return true
		case err == nil: // made before its parent was watched
			directory, missing = wanted, ""
		case errors.Is(err, fs.ErrNotExist) && parent != directory:
			directory, missing = parent, directory
		default:
			return false
		}
	}
}

func lexists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (w *watch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close()
	}
}
