package supervise

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// AwaitSocket blocks until something accepts connections on the unix socket
// name in dir, which must exist, or until ctx ends: then a [NoSocketError]
// tells what is there instead.
func AwaitSocket(ctx context.Context, dir, name string) error {
	path := filepath.Join(dir, name)
	if accepts(ctx, path) {
		return nil
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	defer watcher.Close()
	if err := watcher.Add(dir); err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	// A socket shows up with bind and accepts only from listen on, of which
	// no event tells: between the two, and only then, the clock is asked.
	const maxPause = 50 * time.Millisecond
	pause := time.Millisecond
	for {
		if accepts(ctx, path) {
			return nil
		}
		var bound <-chan time.Time
		if _, err := os.Lstat(path); err == nil {
			bound = time.After(pause)
			pause = min(2*pause, maxPause)
		}
		select {
		case <-ctx.Done():
			return &NoSocketError{Name: name, Found: names(dir), Err: context.Cause(ctx)}
		case err := <-watcher.Errors:
			return fmt.Errorf("watch %s: %w", dir, err)
		case <-watcher.Events:
		case <-bound:
		}
	}
}

func accepts(ctx context.Context, path string) bool {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// names lists what the process made, to tell a wrong name from a missing one.
func names(dir string) []string {
	var found []string
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		const enough = 10
		if err == nil && !entry.IsDir() && len(found) < enough {
			relative, _ := filepath.Rel(dir, path)
			found = append(found, relative)
		}
		return nil
	})
	return found
}

// NoSocketError reports that nothing accepted connections in time.
type NoSocketError struct {
	Name  string
	Found []string // files that are there
	Err   error
}

func (e *NoSocketError) Error() string {
	text := fmt.Sprintf("socket %q does not accept connections", e.Name)
	if len(e.Found) > 0 {
		text += fmt.Sprintf(", found %q", e.Found)
	}
	return text + ": " + e.Err.Error()
}

// Unwrap returns why the wait ended.
func (e *NoSocketError) Unwrap() error { return e.Err }
