// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// driver answers docker's volume driver protocol for the fake plugins of
// these tests. Every volume is the directory /data of the plugin.
type driver struct {
	mu      sync.Mutex
	volumes map[string]int // how often each is mounted
	hostile string         // what the texts of a single volume end with
}

type driverRequest struct {
	Name, ID string
	Opts     map[string]string
}

func (d *driver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request driverRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil && r.URL.Path != "/Plugin.Activate" {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := d.answer(r.URL.Path, request.Name)
	if failure := request.Opts["fail"]; failure != "" {
		err = errors.New(failure)
	}
	if _, long := request.Opts["fail long"]; long {
		err = errors.New(strings.Repeat("\x7f", 8<<20-100))
	}
	if err != nil {
		answer = map[string]any{"Err": err.Error()}
		w.WriteHeader(http.StatusInternalServerError)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (d *driver) answer(path, name string) (map[string]any, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch path {
	case "/Plugin.Activate":
		return map[string]any{"Implements": []string{"VolumeDriver"}}, nil
	case "/VolumeDriver.Capabilities":
		return map[string]any{"Capabilities": map[string]string{"Scope": "local"}}, nil
	case "/VolumeDriver.Create":
		d.volumes[name] = 0
		return map[string]any{}, nil
	case "/VolumeDriver.List":
		return map[string]any{"Volumes": d.listLocked()}, nil
	}
	if _, ok := d.volumes[name]; !ok {
		return nil, fmt.Errorf("no volume %s", name)
	}
	switch path {
	case "/VolumeDriver.Get":
		if d.hostile != "" {
			return map[string]any{"Volume": d.hostileVolume(name)}, nil
		}
		return map[string]any{"Volume": map[string]string{"Name": name}}, nil
	case "/VolumeDriver.Path":
		return map[string]any{"Mountpoint": "/data"}, nil
	case "/VolumeDriver.Mount":
		d.volumes[name]++
		return map[string]any{"Mountpoint": "/data"}, nil
	case "/VolumeDriver.Unmount":
		d.volumes[name]--
		return map[string]any{}, nil
	case "/VolumeDriver.Remove":
		delete(d.volumes, name)
		return map[string]any{}, nil
	}
	return nil, fmt.Errorf("unknown call %s", path)
}

// hostileVolume returns a volume whose every text ends with d.hostile. Its name is
// name if that does.
func (d *driver) hostileVolume(name string) map[string]any {
	if !strings.HasSuffix(name, d.hostile) {
		name += d.hostile
	}
	inner := map[string]any{"key" + d.hostile: "value" + d.hostile}
	status := map[string]any{"status" + d.hostile: []any{"item" + d.hostile, inner, 7}, "inner": inner}
	return map[string]any{"Name": name, "Mountpoint": "/data" + d.hostile, "Status": status}
}

func (d *driver) listLocked() []map[string]string {
	list := []map[string]string{}
	for name := range d.volumes {
		list = append(list, map[string]string{"Name": name})
	}
	return list
}

// mounts returns how often volume name is mounted.
func (d *driver) mounts(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.volumes[name]
}
