// Package hold keeps an executor's directory to one executor.
//
// Another process that uses the directory is refused. Within one process the
// newest executor wins, because embedders' tests simulate crashes so: the older
// one is closed, and the lock changes hands without a moment in which another
// process could get it.
package hold

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/dovetailhq/plugin/internal/dirlock"
)

// Hold is what an executor of this process has of a directory. Make one with
// [Take]. All methods may be called concurrently.
type Hold struct {
	path string
	// file is the locked directory, which is or was at path; info describes it.
	file *os.File
	info os.FileInfo
	// owner is the executor that holds the directory within this process.
	owner io.Closer
}

var (
	mu    sync.Mutex
	holds []*Hold
)

// Take makes directory path, if it is absent, and locks it for owner. An older
// owner of this process is closed. The error is [dirlock.ErrLocked] if another
// process holds the directory.
func Take(path string, owner io.Closer) (*Hold, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	mu.Lock()
	h, err := findLocked(path)
	if err != nil {
		mu.Unlock()
		return nil, err
	}
	if err := h.renewLocked(); err != nil {
		mu.Unlock()
		return nil, err
	}
	older := h.owner
	h.owner = owner
	if older == nil {
		holds = append(holds, h)
	}
	mu.Unlock()
	if older != nil {
		// What the older one can't end now, it ends without touching the
		// directory.
		_ = older.Close()
	}
	return h, nil
}

// findLocked returns the hold on path, or one of no owner.
func findLocked(path string) (*Hold, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	for _, h := range holds {
		if h.path == path || h.has(info) {
			return h, nil
		}
	}
	return &Hold{path: path}, nil
}

func (h *Hold) has(info os.FileInfo) bool { return h.file != nil && os.SameFile(h.info, info) }

// Renew makes the directory again if it was deleted, and locks what is at its
// path now. The error is [dirlock.ErrLocked] if another process was faster.
func (h *Hold) Renew() error {
	mu.Lock()
	defer mu.Unlock()
	return h.renewLocked()
}

func (h *Hold) renewLocked() error {
	if err := os.MkdirAll(h.path, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(h.path)
	if err != nil || h.has(info) {
		return err
	}
	file, err := dirlock.Lock(h.path)
	if err != nil {
		return err
	}
	if info, err = file.Stat(); err != nil {
		_ = file.Close()
		return err
	}
	if h.file != nil {
		_ = h.file.Close()
	}
	h.file, h.info = file, info
	return nil
}

// HeldBy reports whether no newer executor of this process has taken the
// directory over.
func (h *Hold) HeldBy(owner io.Closer) bool {
	mu.Lock()
	defer mu.Unlock()
	return h.owner == owner
}

// Release frees the directory, unless a newer executor has taken it over.
func (h *Hold) Release(owner io.Closer) {
	mu.Lock()
	defer mu.Unlock()
	if h.owner != owner {
		return
	}
	_ = h.file.Close()
	holds = slices.DeleteFunc(holds, func(held *Hold) bool { return held == h })
}
