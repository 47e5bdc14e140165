// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// volumes are the subdirectories of directory, the plugin's propagated mount.
type volumes struct {
	mu        sync.Mutex
	directory string
}

func newVolumes(directory string) *volumes { return &volumes{directory: directory} }

type volume struct{ Name, Mountpoint string }

func (v *volumes) handlers() handlers {
	return handlers{
		"/Plugin.Activate": func(*http.Request) (any, error) { return map[string][]string{"Implements": {"VolumeDriver"}}, nil },
		"/VolumeDriver.Capabilities": func(*http.Request) (any, error) {
			return map[string]any{"Capabilities": map[string]string{"Scope": "local"}}, nil
		},
		"/VolumeDriver.Create": v.call(func(path string) (any, error) { return struct{}{}, os.MkdirAll(path, 0o755) }),
		"/VolumeDriver.Remove": v.call(func(path string) (any, error) { return struct{}{}, os.RemoveAll(path) }),
		"/VolumeDriver.Mount":  v.call(mountpoint),
		"/VolumeDriver.Path":   v.call(mountpoint),
		"/VolumeDriver.Get":    v.call(get),
		"/VolumeDriver.List":   func(*http.Request) (any, error) { return v.list() },
	}
}

// call returns a handler that runs do with the path of the volume's directory.
func (v *volumes) call(do func(path string) (any, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		request, err := asked[volume](r)
		if err != nil {
			return nil, err
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		return do(filepath.Join(v.directory, filepath.Base(request.Name)))
	}
}

func mountpoint(path string) (any, error) { return volume{Mountpoint: path}, nil }

func get(path string) (any, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("volume %s is not there", filepath.Base(path))
	}
	return map[string]volume{"Volume": {Name: filepath.Base(path), Mountpoint: path}}, nil
}

func (v *volumes) list() (any, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	entries, err := os.ReadDir(v.directory)
	if err != nil {
		return nil, err
	}
	list := []volume{}
	for _, entry := range entries {
		list = append(list, volume{Name: entry.Name(), Mountpoint: filepath.Join(v.directory, entry.Name())})
	}
	return map[string][]volume{"Volumes": list}, nil
}
