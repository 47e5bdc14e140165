// SPDX-License-Identifier: Apache-2.0

// Package hold reserves an executor's directory for one executor.
//
// A second process is refused. Within one process the newest executor wins, because
// embedders' tests simulate crashes by making a new one. The older executor is
// closed, and the lock passes to the newer one without being released in between.
package hold

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/dovetailhq/plugin/internal/dirlock"
)

// Hold is the lock on an executor's directory. Use [Take] to get one. It is safe
// for concurrent use.
type Hold struct {
	path string
	// renewing is held over the calls into the directory's file system, which can
	// hang. It is locked before mu.
	renewing sync.Mutex

	// mu guards the fields below.

	// file is the locked directory, and info its description. The directory at
	// path may have been replaced since.
	file *os.File
	info os.FileInfo
	// owner is the executor of this process that holds the directory.
	owner io.Closer
	// released is set when the last owner has released the directory.
	released bool
}

// mu guards all holds. No call into a file system is made with it locked: a
// directory that hangs delays no executor of another directory, and no signal.
var (
	mu    sync.Mutex
	holds []*Hold
)

// errReleased reports a hold that was released in the meantime.
var errReleased = errors.New("released")

// Take creates directory path if necessary, and locks it for owner. It closes an
// older owner in this process. The error is [dirlock.ErrLocked] if another process
// holds the directory.
func Take(path string, owner io.Closer) (*Hold, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	for {
		h := find(path, info)
		older, err := h.take(owner)
		if errors.Is(err, errReleased) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if older != nil {
			// An older executor that can't end at once no longer touches the
			// directory.
			_ = older.Close()
		}
		return h, nil
	}
}

// find returns the existing hold on path, or a new one without an owner.
func find(path string, info os.FileInfo) *Hold {
	mu.Lock()
	defer mu.Unlock()
	for _, h := range holds {
		if h.path == path || h.hasLocked(info) {
			return h
		}
	}
	h := &Hold{path: path}
	holds = append(holds, h)
	return h
}

func (h *Hold) hasLocked(info os.FileInfo) bool {
	return h.file != nil && os.SameFile(h.info, info)
}

// take makes owner the owner, and returns the older one.
func (h *Hold) take(owner io.Closer) (older io.Closer, err error) {
	h.renewing.Lock()
	defer h.renewing.Unlock()
	err = h.renew()
	mu.Lock()
	defer mu.Unlock()
	if err == nil && h.released {
		err = errReleased
	}
	if err != nil {
		if h.owner == nil {
			h.dropLocked()
		}
		return nil, err
	}
	older, h.owner = h.owner, owner
	return older, nil
}

// Renew creates the directory again if it was deleted, and locks the directory that
// is at its path now. The error is [dirlock.ErrLocked] if another process has
// locked it.
func (h *Hold) Renew() error {
	h.renewing.Lock()
	defer h.renewing.Unlock()
	return h.renew()
}

// renew implements Renew. The caller has locked renewing.
func (h *Hold) renew() error {
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
	h.replace(file, info)
	return nil
}

func (h *Hold) has(info os.FileInfo) bool {
	mu.Lock()
	defer mu.Unlock()
	return h.hasLocked(info)
}

// replace makes file the lock of the hold, and unlocks the older one. It closes file
// if the hold was released in the meantime.
func (h *Hold) replace(file *os.File, info os.FileInfo) {
	mu.Lock()
	surplus := file
	if !h.released {
		surplus, h.file, h.info = h.file, file, info
	}
	mu.Unlock()
	if surplus != nil {
		_ = surplus.Close()
	}
}

// HeldBy reports whether owner holds the directory: whether owner has not released
// it, and no newer executor of this process has taken it over. It does not block.
func (h *Hold) HeldBy(owner io.Closer) bool {
	mu.Lock()
	defer mu.Unlock()
	return h.owner == owner
}

// Release unlocks the directory, unless a newer executor has taken it over. It does
// not wait for a Renew that hangs.
func (h *Hold) Release(owner io.Closer) {
	mu.Lock()
	if h.owner != owner {
		mu.Unlock()
		return
	}
	file := h.file
	h.dropLocked()
	mu.Unlock()
	_ = file.Close()
}

// dropLocked makes a later Take of the directory begin anew.
func (h *Hold) dropLocked() {
	h.file, h.owner, h.released = nil, nil, true
	holds = slices.DeleteFunc(holds, func(held *Hold) bool { return held == h })
}
