// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dockerd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// step is a command of a story.
type step struct {
	section string
	node    string // where it runs: empty outside of nodes
	kind    string // one of $ ! % ~, or daemon
	command string
}

func (s step) String() string { return s.section + ": " + s.line() }

// line is the step as its story has it.
func (s step) line() string {
	if s.node == "" {
		return s.kind + " " + s.command
	}
	return "@" + s.node + " " + s.kind + " " + s.command
}

// readStory reads a story of testdata.
func readStory(name string) ([]step, error) {
	data, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		return nil, err
	}
	return parseStory(string(data))
}

func parseStory(text string) ([]step, error) {
	var steps []step
	section := ""
	for i, line := range strings.Split(text, "\n") {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		node := ""
		if strings.HasPrefix(kind, "@") {
			node = kind[1:]
			kind, rest, _ = strings.Cut(rest, " ")
		}
		switch kind {
		case "":
		case "#":
			section = rest
		case "$", "!", "%", "~", "daemon":
			steps = append(steps, step{section, node, kind, rest})
		default:
			return nil, fmt.Errorf("line %d: %q is not a command of a story", i+1, kind)
		}
	}
	return steps, nil
}

// record is what was seen of a step.
type record struct {
	Step   string
	Output string
	Code   int
}
