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
	"strings"
	"sync"

	"github.com/docker/go-plugins-helpers/volume"
)

// driver keeps below root:
//
//	key, key.pub    the key that remote machines allow
//	known_hosts     the keys of remote machines
//	volumes.json    what there is
//	mounts/NAME     where a volume is mounted while it is used
type driver struct {
	root string
	key  string // the public key, as a line of authorized_keys

	mu      sync.Mutex
	volumes map[string]remote
	// users has the IDs for which a volume is mounted. After a restart it is empty, as
	// are the mounts: sshfs ends with the driver.
	users map[string]map[string]bool
}

var _ volume.Driver = &driver{}

func newDriver(root string) (*driver, error) {
	d := &driver{root: root, users: map[string]map[string]bool{}}
	if err := os.MkdirAll(filepath.Join(root, "mounts"), 0o711); err != nil {
		return nil, fmt.Errorf("make directories: %w", err)
	}
	key := filepath.Join(root, "key")
	if _, err := os.Stat(key + ".pub"); errors.Is(err, fs.ErrNotExist) {
		if err := command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "docker", "-f", key); err != nil {
			return nil, fmt.Errorf("make key: %w", err)
		}
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	d.key = strings.TrimSpace(string(public))
	d.volumes, err = load(d.state())
	return d, err
}

// validName accepts docker's names of volumes. No path matches.
var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// Create records a volume. The machine is asked when the volume is mounted.
func (d *driver) Create(request *volume.CreateRequest) error {
	if !validName.MatchString(request.Name) {
		return fmt.Errorf("volume name %q: use letters, digits, _, . and -", request.Name)
	}
	wanted, err := parseRemote(request.Options)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if have, ok := d.volumes[request.Name]; ok && have != wanted {
		return fmt.Errorf("volume %s exists with other options", request.Name)
	}
	if err := os.Mkdir(d.mountpoint(request.Name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make volume %s: %w", request.Name, err)
	}
	d.volumes[request.Name] = wanted
	return save(d.state(), d.volumes)
}

// List returns all volumes.
func (d *driver) List() (*volume.ListResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := &volume.ListResponse{Volumes: []*volume.Volume{}}
	for name := range d.volumes {
		list.Volumes = append(list.Volumes, &volume.Volume{Name: name, Mountpoint: d.mountpoint(name)})
	}
	return list, nil
}

// Get returns one volume, with the key that its machine has to allow.
func (d *driver) Get(request *volume.GetRequest) (*volume.GetResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, err := d.findLocked(request.Name)
	if err != nil {
		return nil, err
	}
	status := map[string]any{"sshcmd": found.Command, "key": d.key}
	return &volume.GetResponse{Volume: &volume.Volume{Name: request.Name, Status: status}}, nil
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

// Mount mounts the volume for one more ID and returns its path.
func (d *driver) Mount(request *volume.MountRequest) (*volume.MountResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, err := d.findLocked(request.Name)
	if err != nil {
		return nil, err
	}
	target := d.mountpoint(request.Name)
	if len(d.users[request.Name]) == 0 {
		if err := d.mountLocked(found, target); err != nil {
			return nil, fmt.Errorf("mount volume %s: %w", request.Name, err)
		}
		d.users[request.Name] = map[string]bool{}
	}
	d.users[request.Name][request.ID] = true
	return &volume.MountResponse{Mountpoint: target}, nil
}

// Unmount drops an ID, and unmounts the volume after the last one.
func (d *driver) Unmount(request *volume.UnmountRequest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	users := d.users[request.Name]
	if !users[request.ID] {
		return nil
	}
	if len(users) == 1 {
		if err := d.unmountLocked(d.mountpoint(request.Name)); err != nil {
			return fmt.Errorf("unmount volume %s: %w", request.Name, err)
		}
	}
	delete(users, request.ID)
	return nil
}

// Remove forgets a volume that is not mounted. The remote directory stays.
func (d *driver) Remove(request *volume.RemoveRequest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.findLocked(request.Name); err != nil {
		return err
	}
	if len(d.users[request.Name]) > 0 {
		return fmt.Errorf("volume %s is mounted", request.Name)
	}
	if err := os.Remove(d.mountpoint(request.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove volume %s: %w", request.Name, err)
	}
	delete(d.volumes, request.Name)
	return save(d.state(), d.volumes)
}

// Capabilities reports that volumes are known on this host only.
func (*driver) Capabilities() *volume.CapabilitiesResponse {
	return &volume.CapabilitiesResponse{Capabilities: volume.Capability{Scope: "local"}}
}

func (d *driver) findLocked(name string) (remote, error) {
	found, ok := d.volumes[name]
	if !ok {
		return remote{}, fmt.Errorf("no volume %s", name)
	}
	return found, nil
}

func (d *driver) state() string { return filepath.Join(d.root, "volumes.json") }

func (d *driver) mountpoint(name string) string { return filepath.Join(d.root, "mounts", name) }
