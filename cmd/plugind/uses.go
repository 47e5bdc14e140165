// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// use is a volume that is mounted for a user.
type use struct{ Volume, ID string }

// uses is the set of mounted volumes, kept in a file for the next plugind. The
// file is on the file system of sockets, because a reboot ends all mounts.
type uses struct {
	path string

	mu   sync.Mutex
	held []use
}

// load returns the uses that an earlier plugind recorded.
func (s *uses) load() ([]use, error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []use
	if err == nil {
		err = json.Unmarshal(data, &found)
	}
	return found, err
}

// discard removes the uses that an earlier plugind recorded.
func (s *uses) discard() error {
	if err := os.Remove(s.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *uses) add(u use) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.held, u) {
		return nil
	}
	s.held = append(s.held, u)
	return s.saveLocked()
}

func (s *uses) drop(u use) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.held, u)
	if i < 0 {
		return nil
	}
	s.held = slices.Delete(s.held, i, i+1)
	return s.saveLocked()
}

func (s *uses) saveLocked() error {
	data, err := json.Marshal(s.held)
	if err != nil {
		return err
	}
	return replaceFile(s.path, data)
}

// replaceFile replaces a file as a whole: a crash leaves the older one. It does not
// sync, because a crash of the system is a reboot.
func replaceFile(path string, data []byte) error {
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func (s *uses) has(u use) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.held, u)
}

func (s *uses) all() []use {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.held)
}
