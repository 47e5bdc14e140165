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

// use is a volume being mounted for a user.
type use struct{ Volume, ID string }

// uses is the volumes that are mounted, kept in a file for the next plugind.
// It is on the file system of sockets: a reboot ends them all.
type uses struct {
	path string

	mu   sync.Mutex
	held []use
}

// left returns those that an earlier plugind left.
func (s *uses) left() ([]use, error) {
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

// forget makes those that an earlier plugind left nobody's.
func (s *uses) forget() error {
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

// saveLocked replaces the file whole: a crash leaves the older one. Nothing
// is synced, for a crash of the system is a reboot.
func (s *uses) saveLocked() error {
	data, err := json.Marshal(s.held)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(s.path+".tmp", s.path)
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
