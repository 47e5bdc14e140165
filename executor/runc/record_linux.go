// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// newSuffix names a file that is being written, before it replaces another.
const newSuffix = ".new"

// record names the processes of a bundle's run, for the next daemon.
type record struct {
	// Boot is the boot that the start times count from.
	Boot string `json:"boot"`
	// Init is the plugin's main process. A bundle without it is a leftover of an
	// unfinished Create.
	Init identity `json:"init,omitzero"`
	// Runtime is the foreground runtime, Init's parent.
	Runtime identity `json:"runtime,omitzero"`
}

// save replaces the record in one step. It does not sync, because a power cut ends
// the processes that the record names.
func (b bundle) save(r record) error {
	content, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode run: %w", err)
	}
	if err := os.WriteFile(b.record()+newSuffix, content, 0o600); err != nil {
		return err
	}
	return os.Rename(b.record()+newSuffix, b.record())
}

// load returns the record if it is of this boot. For a record that is absent or
// not valid it returns the zero value. A record that can't be read is an error,
// because it may name a living process.
func (b bundle) load() (record, error) {
	content, err := os.ReadFile(b.record())
	if err != nil {
		return record{}, ignoreMissing(err)
	}
	boot, err := bootID()
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(content, &r); err != nil || r.Boot != boot {
		return record{}, nil
	}
	return r, nil
}

func bootID() (string, error) {
	content, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}
