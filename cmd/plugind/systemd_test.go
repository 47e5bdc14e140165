// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
)

// sink discards a stream.
type sink struct{}

func (sink) Write(p []byte) (int, error) { return len(p), nil }
func (sink) Close() error                { return nil }

// With a slice as the parent the runtime leaves cgroups to systemd; with a path
// it makes them itself. The runtime here only records its command line.
func TestCgroupParentChoosesTheCgroupDriver(t *testing.T) {
	for _, test := range []struct {
		parent string
		want   bool
	}{
		{"", false},
		{"/plugins", false},
		{"plugins.slice", true},
	} {
		t.Run(test.parent, func(t *testing.T) {
			directory := t.TempDir()
			calls, runtime := filepath.Join(directory, "calls"), filepath.Join(directory, "recorder")
			assert.NilError(t, os.WriteFile(runtime, []byte("#!/bin/sh\necho \"$@\" >> "+calls+"\nexit 1\n"), 0o700))
			r, err := newRunner(t.Context(), options{execRoot: directory, runtime: runtime, hardening: plugin.Hardening{CgroupParent: test.parent}})
			assert.NilError(t, err)
			executor, err := r.newExecutor(nil)
			assert.NilError(t, err)
			err = executor.Create("p", specs.Spec{Root: &specs.Root{Path: directory}}, sink{}, sink{})
			assert.ErrorContains(t, err, "exit status 1")
			said, err := os.ReadFile(calls)
			assert.NilError(t, err)
			for call := range strings.Lines(string(said)) {
				assert.Equal(t, strings.Contains(call, " --systemd-cgroup "), test.want, "%s", call)
			}
		})
	}
}
