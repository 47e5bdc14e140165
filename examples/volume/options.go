// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
)

// options are the options of a volume.
type options struct {
	// Size makes a volume in memory of at most that size, such as 16m. Empty
	// means a directory.
	Size string `json:"size,omitempty"`
}

var validSize = regexp.MustCompile(`^[1-9][0-9]*[kmg]?$`)

// parseOptions parses the options of docker volume create -o key=value. Missing
// options come from defaults.
func parseOptions(given map[string]string, defaults options) (options, error) {
	parsed := defaults
	for key, value := range given {
		if key != "size" {
			return options{}, fmt.Errorf("unknown option %q: there is only size", key)
		}
		if !validSize.MatchString(value) {
			return options{}, fmt.Errorf("option size=%s: want a number with k, m or g", value)
		}
		parsed.Size = value
	}
	return parsed, nil
}

// readDefaults reads a file of key=value lines. A missing file means no
// defaults.
func readDefaults(path string) (options, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return options{}, nil
	}
	if err != nil {
		return options{}, fmt.Errorf("read defaults: %w", err)
	}
	defer file.Close()

	given := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		given[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	if err := lines.Err(); err != nil {
		return options{}, fmt.Errorf("read defaults: %w", err)
	}
	defaults, err := parseOptions(given, options{})
	if err != nil {
		return options{}, fmt.Errorf("read defaults: %w", err)
	}
	return defaults, nil
}
