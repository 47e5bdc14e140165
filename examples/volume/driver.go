// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/docker/go-plugins-helpers/volume"
)

// driver keeps volumes below root:
//
//	volumes.json    what there is
//	data/NAME       the files of a volume that is a directory
//	mounts/NAME     where the volume is mounted while it is used
type driver struct {
	root     string
	mode     os.FileMode
	defaults options

	mu    sync.Mutex
	state state
	// users has the IDs for which a volume is mounted. It is not stored: after
	// a restart the first id that unmounts counts as the last.
	users map[string]map[string]bool
}

var _ volume.Driver = &driver{}

func newDriver(root string, mode os.FileMode, defaults options) (*driver, error) {
	for _, directory := range []string{"data", "mounts"} {
		if err := os.MkdirAll(filepath.Join(root, directory), 0o711); err != nil {
			return nil, fmt.Errorf("make directories: %w", err)
		}
	}
	loaded, err := loadState(filepath.Join(root, "volumes.json"))
	if err != nil {
		return nil, err
	}
	return &driver{root: root, mode: mode, defaults: defaults, state: loaded, users: map[string]map[string]bool{}}, nil
}

// validName accepts docker's names of volumes. No path matches.
var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// Create makes a volume. Making the same volume again succeeds.
func (d *driver) Create(request *volume.CreateRequest) error {
	if !validName.MatchString(request.Name) {
		return fmt.Errorf("volume name %q: use letters, digits, _, . and -", request.Name)
	}
	wanted, err := parseOptions(request.Options, d.defaults)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if have, ok := d.state[request.Name]; ok {
		if have.Options != wanted {
			return fmt.Errorf("volume %s exists with other options", request.Name)
		}
		return nil
	}
	if err := d.makeDirectoriesLocked(request.Name); err != nil {
		return err
	}
	d.state[request.Name] = record{Created: time.Now().UTC().Truncate(time.Second), Options: wanted}
	if err := d.saveLocked(); err != nil {
		delete(d.state, request.Name)
		return err
	}
	return nil
}

func (d *driver) makeDirectoriesLocked(name string) error {
	for _, directory := range []string{d.data(name), d.mountpoint(name)} {
		if err := os.Mkdir(directory, d.mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make volume %s: %w", name, err)
		}
	}
	return nil
}

// List returns all volumes.
func (d *driver) List() (*volume.ListResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := &volume.ListResponse{Volumes: []*volume.Volume{}}
	for name := range d.state {
		described := d.describeLocked(name)
		described.Mountpoint = d.mountpoint(name)
		list.Volumes = append(list.Volumes, described)
	}
	return list, nil
}

// Get returns one volume.
func (d *driver) Get(request *volume.GetRequest) (*volume.GetResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.findLocked(request.Name); err != nil {
		return nil, err
	}
	return &volume.GetResponse{Volume: d.describeLocked(request.Name)}, nil
}

// describeLocked leaves the mountpoint out. Docker translates the paths that
// List, Path and Mount return to paths of the host, but not that of Get.
func (d *driver) describeLocked(name string) *volume.Volume {
	kept := d.state[name]
	status := map[string]any{"users": len(d.users[name])}
	if kept.Options.Size != "" {
		status["size"] = kept.Options.Size
	}
	return &volume.Volume{Name: name, CreatedAt: kept.Created.Format(time.RFC3339), Status: status}
}

// Path returns the path of the volume while it is mounted.
func (d *driver) Path(request *volume.PathRequest) (*volume.PathResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.findLocked(request.Name); err != nil {
		return nil, err
	}
	return &volume.PathResponse{Mountpoint: d.mountpoint(request.Name)}, nil
}

// Mount mounts the volume for one more id and returns its path.
func (d *driver) Mount(request *volume.MountRequest) (*volume.MountResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept, err := d.findLocked(request.Name)
	if err != nil {
		return nil, err
	}
	target := d.mountpoint(request.Name)
	if err := mount(d.data(request.Name), target, kept.Options); err != nil {
		return nil, fmt.Errorf("mount volume %s: %w", request.Name, err)
	}
	if d.users[request.Name] == nil {
		d.users[request.Name] = map[string]bool{}
	}
	d.users[request.Name][request.ID] = true
	return &volume.MountResponse{Mountpoint: target}, nil
}

// Unmount drops an ID, and unmounts the volume after the last one.
func (d *driver) Unmount(request *volume.UnmountRequest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.findLocked(request.Name); err != nil {
		return err
	}
	delete(d.users[request.Name], request.ID)
	if len(d.users[request.Name]) > 0 {
		return nil
	}
	if err := unmount(d.mountpoint(request.Name)); err != nil {
		return fmt.Errorf("unmount volume %s: %w", request.Name, err)
	}
	return nil
}

// Remove deletes a volume that is not mounted, with its files.
func (d *driver) Remove(request *volume.RemoveRequest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept, err := d.findLocked(request.Name)
	if err != nil {
		return err
	}
	mounted, err := isMounted(d.mountpoint(request.Name))
	if err != nil {
		return err
	}
	if mounted {
		return fmt.Errorf("volume %s is mounted", request.Name)
	}
	// The files go first, so that the next volume of this name does not find
	// them. A crash after that leaves a volume that can be removed again.
	if err := os.RemoveAll(d.data(request.Name)); err != nil {
		return fmt.Errorf("remove volume %s: %w", request.Name, err)
	}
	delete(d.state, request.Name)
	delete(d.users, request.Name)
	if err := d.saveLocked(); err != nil {
		d.state[request.Name] = kept
		return err
	}
	return os.Remove(d.mountpoint(request.Name))
}

// Capabilities reports that volumes exist on this host only.
func (d *driver) Capabilities() *volume.CapabilitiesResponse {
	return &volume.CapabilitiesResponse{Capabilities: volume.Capability{Scope: "local"}}
}

func (d *driver) findLocked(name string) (record, error) {
	kept, ok := d.state[name]
	if !ok {
		return record{}, fmt.Errorf("no volume %s", name)
	}
	return kept, nil
}

func (d *driver) saveLocked() error { return d.state.save(filepath.Join(d.root, "volumes.json")) }

func (d *driver) data(name string) string { return filepath.Join(d.root, "data", name) }

func (d *driver) mountpoint(name string) string { return filepath.Join(d.root, "mounts", name) }
