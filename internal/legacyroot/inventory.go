// SPDX-License-Identifier: Apache-2.0

package legacyroot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

const (
	// maxInventoryBytes and maxEntries are far above any host's plugins, and bound
	// the memory for them.
	maxInventoryBytes = 16 << 20
	maxEntries        = 4096
	maxNameBytes      = 255 // of a file, see https://man7.org/linux/man-pages/man7/path_resolution.7.html
)

// Entry is a plugin of an inventory, or the reason why it can't be read.
type Entry struct {
	Plugin
	// Err is an [EntryError] for an entry that is broken, or an error of the file
	// system. The ID, and the name where it is known, are set also then.
	Err error
}

// ReadInventory returns the entries of the inventory in a directory, ordered by ID.
//
// Errors: [os.ErrNotExist] if there is no inventory; [InventoryError] if it can't be
// read as a whole; and those of the file system.
func ReadInventory(dir string) ([]Entry, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	path := filepath.Join(dir, InventoryName)
	data, err := readFile(root, InventoryName, maxInventoryBytes)
	if isBroken(err) {
		return nil, &InventoryError{Path: path, Err: err}
	}
	if err != nil {
		return nil, err
	}
	listed, err := parseInventory(data)
	if err != nil {
		return nil, &InventoryError{Path: path, Err: err}
	}
	entries := make([]Entry, len(listed))
	for i, l := range listed {
		entries[i] = l.entry(root)
	}
	return entries, nil
}

// listed is an entry as the inventory has it.
type listed struct {
	id    string
	value json.RawMessage
	twice bool
}

// parseInventory returns the entries ordered by ID. It counts them as it reads.
func parseInventory(data []byte) ([]listed, error) {
	if !json.Valid(data) {
		return nil, errors.New("it is not valid JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	var all []listed
	for decoder.More() {
		if len(all) == maxEntries {
			return nil, fmt.Errorf("it has more than %d entries", maxEntries)
		}
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		l := listed{id: key.(string)} // the key of an object is a string
		if err := decoder.Decode(&l.value); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	slices.SortStableFunc(all, func(a, b listed) int { return strings.Compare(a.id, b.id) })
	return once(all), nil
}

// once keeps one entry for each ID, and marks those that occur twice.
func once(sorted []listed) []listed {
	var all []listed
	for _, l := range sorted {
		if last := len(all) - 1; last >= 0 && all[last].id == l.id {
			all[last].twice = true
			continue
		}
		all = append(all, l)
	}
	return all
}

// wireEntry is the value of an entry.
type wireEntry struct {
	Plugin *struct {
		ID       string `json:"Id"`
		Name     string
		Tag      string
		Active   bool
		Manifest json.RawMessage
		Config   json.RawMessage
	} `json:"plugin"`
}

// entry reads the plugin of an entry, whose directory is below root.
func (l listed) entry(root *os.Root) Entry {
	e := Entry{Plugin: Plugin{ID: l.id}}
	e.Err = l.read(root, &e.Plugin)
	return e
}

func (l listed) read(root *os.Root, p *Plugin) error {
	broken := func(err error) error { return &EntryError{ID: l.id, File: InventoryName, Err: err} }
	if err := checkID(l.id); err != nil {
		return broken(err)
	}
	if l.twice {
		return broken(errors.New("it occurs more than once"))
	}
	var wire wireEntry
	if err := decode(l.value, &wire); err != nil {
		return broken(err)
	}
	if wire.Plugin == nil {
		return broken(errors.New(`it has no member "plugin"`))
	}
	p.Name, p.Enabled = wire.Plugin.Name, wire.Plugin.Active
	if wire.Plugin.Tag != "" {
		p.Name += ":" + wire.Plugin.Tag
	}
	if id := wire.Plugin.ID; id != "" && id != l.id {
		return broken(fmt.Errorf("its Id is %.100q: correct that or the key of the entry", id))
	}
	if wire.Plugin.Name == "" {
		return broken(errors.New("it has no name"))
	}
	d, err := openDirectory(root, l.id)
	if err != nil {
		return err
	}
	defer d.close()
	return d.describe(p, unlessNull(wire.Plugin.Manifest), unlessNull(wire.Plugin.Config))
}

// unlessNull returns nil for a member that is null or missing.
func unlessNull(member json.RawMessage) []byte {
	if string(member) == "null" {
		return nil
	}
	return member
}

// checkID refuses an ID that is not the name of one file.
func checkID(id string) error {
	switch {
	case id == "", id == ".", id == "..", strings.ContainsAny(id, `/\`), len(id) > maxNameBytes:
		return errors.New("its ID is not the name of a directory")
	case !plaintext.Is(id):
		return errors.New("its ID has control or invisible characters")
	}
	return nil
}
