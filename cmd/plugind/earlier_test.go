// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"
)

// TestRecordsOfPlacesThatHinderNoStart starts with records of an earlier plugind in
// whose place no plugin can run.
func TestRecordsOfPlacesThatHinderNoStart(t *testing.T) {
	for _, tc := range []struct {
		name string
		// record writes the record of o, in an empty directory.
		record func(t *testing.T, o options, dir string)
	}{
		{"empty after a crash of the system", func(t *testing.T, o options, _ string) {
			assert.NilError(t, os.WriteFile(o.placeFile(), nil, 0o600))
		}},
		{"no JSON", func(t *testing.T, o options, _ string) {
			assert.NilError(t, os.WriteFile(o.placeFile(), []byte("\x00\x00"), 0o600))
		}},
		{"its exec root is gone", func(t *testing.T, o options, dir string) {
			writePlace(t, o, filepath.Join(dir, "gone"))
		}},
		{"a file is where its exec root was", func(t *testing.T, o options, dir string) {
			assert.NilError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
			writePlace(t, o, filepath.Join(dir, "file", "exec"))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			o := options{root: filepath.Join(dir, "root"), execRoot: filepath.Join(dir, "exec"), runtime: "true"}
			assert.NilError(t, os.Mkdir(o.root, 0o700))
			before := filepath.Join(dir, "before")
			assert.NilError(t, os.Mkdir(before, 0o700))
			tc.record(t, o, before)
			d := &daemon{options: o}
			assert.NilError(t, d.endElsewhere(t.Context()))
			_, err := os.Stat(filepath.Join(before, "gone"))
			assert.Assert(t, os.IsNotExist(err), "a directory was left")
		})
	}
}

// writePlace records that the last plugind of this boot had execRoot.
func writePlace(t *testing.T, o options, execRoot string) {
	t.Helper()
	there, err := o.place()
	assert.NilError(t, err)
	there.ExecRoot = execRoot
	data, err := json.Marshal(there)
	assert.NilError(t, err)
	assert.NilError(t, os.WriteFile(o.placeFile(), data, 0o600))
}

// TestAPlaceHasManyNames: links to its directories make no other place.
func TestAPlaceHasManyNames(t *testing.T) {
	dir := t.TempDir()
	exec, link := filepath.Join(dir, "exec"), filepath.Join(dir, "link")
	assert.NilError(t, os.Mkdir(exec, 0o700))
	assert.NilError(t, os.Symlink(exec, link))
	o := options{execRoot: exec, containerd: filepath.Join(exec, "s")}
	assert.NilError(t, os.WriteFile(o.containerd, nil, 0o600))
	here, err := o.place()
	assert.NilError(t, err)
	for _, other := range []options{
		{execRoot: link, containerd: filepath.Join(link, "s")},
		{execRoot: exec + "/", containerd: "unix://" + o.containerd},
	} {
		there, err := other.place()
		assert.NilError(t, err)
		assert.Equal(t, there, here)
	}
}
