// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// state has the driver's volumes by name. It is stored in a file.
type state map[string]record

type record struct {
	Created time.Time `json:"created"`
	Options options   `json:"options"`
}

// loadState reads the file at path. A missing file means no volumes.
func loadState(path string) (state, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load volumes: %w", err)
	}
	loaded := state{}
	if err := json.Unmarshal(content, &loaded); err != nil {
		return nil, fmt.Errorf("load volumes from %s: %w", path, err)
	}
	return loaded, nil
}

// save replaces the file at path in one step: a crash leaves the old file or
// the new one.
func (s state) save(path string) error {
	content, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("save volumes: %w", err)
	}
	if err := writeSynced(path+".new", content); err != nil {
		return fmt.Errorf("save volumes: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("save volumes: %w", err)
	}
	return nil
}

func writeSynced(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}
