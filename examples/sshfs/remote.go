// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
)

// remote is a directory of another machine.
type remote struct {
	Command string `json:"sshcmd"` // as sshfs takes it
	Port    string `json:"port"`
}

// validCommand accepts user@machine:/directory, and nothing that begins with a hyphen,
// which ssh and sshfs would take for an option.
var validCommand = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]*@[a-zA-Z0-9\[][a-zA-Z0-9.:\]-]*:/[^\x00-\x1f]*$`)

// parseRemote parses the options of docker volume create -o key=value.
func parseRemote(options map[string]string) (remote, error) {
	r := remote{Port: "22"}
	for key, value := range options {
		switch key {
		case "sshcmd":
			r.Command = value
		case "port":
			r.Port = value
		default:
			return remote{}, fmt.Errorf("unknown option %q: there are sshcmd and port", key)
		}
	}
	if !validCommand.MatchString(r.Command) {
		return remote{}, fmt.Errorf("option sshcmd=%s: want user@machine:/directory", r.Command)
	}
	if port, err := strconv.ParseUint(r.Port, 10, 16); err != nil || port == 0 {
		return remote{}, fmt.Errorf("option port=%s: want a number up to 65535", r.Port)
	}
	return r, nil
}

// load reads the volumes of an earlier driver. A missing file means none.
func load(path string) (map[string]remote, error) {
	volumes := map[string]remote{}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return volumes, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load volumes: %w", err)
	}
	if err := json.Unmarshal(content, &volumes); err != nil {
		return nil, fmt.Errorf("load volumes from %s: %w", path, err)
	}
	return volumes, nil
}

// save replaces the file in one step: a crash leaves the old file or the new one.
func save(path string, volumes map[string]remote) error {
	content, err := json.Marshal(volumes)
	if err != nil {
		return fmt.Errorf("save volumes: %w", err)
	}
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("save volumes: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("save volumes: %w", err)
	}
	return nil
}
