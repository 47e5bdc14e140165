package runc

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// newSuffix names a file that is being written, before it replaces another.
const newSuffix = ".new"

// record says who runs a bundle. It is what one daemon leaves for the next.
type record struct {
	// Boot is the boot that the start times count from.
	Boot string `json:"boot"`
	// Init is the plugin's main process. Until it is recorded, Create has not
	// happened: what is found then is a leftover, dead or alive.
	Init identity `json:"init,omitzero"`
	// Runtime is the foreground runtime, Init's parent.
	Runtime identity `json:"runtime,omitzero"`
}

// save replaces the record in one step. There is nothing to sync: after a
// power cut no process is left that it could speak of.
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

// load returns what is recorded about this boot. A record that is absent, or
// that is none of ours, says nothing about any process. One that can't be read
// now is an error: it may speak of a process that lives.
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
