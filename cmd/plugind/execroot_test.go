// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"
)

// A second plugind on the same exec root would delete the first one's files
// there and end its plugins, even with its own root and socket.
func TestAnExecRootHasOnePlugind(t *testing.T) {
	h := newHouse(t)
	_, stop := h.start(t)
	mounts := filepath.Join(h.options.execRoot, "mounts.json")
	assert.NilError(t, os.WriteFile(mounts, []byte("[]"), 0o600))

	second := h.options
	second.root, second.host = second.root+"2", second.host+"2"
	_, err := newDaemon(t.Context(), second)
	assert.ErrorContains(t, err, "--exec-root "+second.execRoot+" is used by another plugind: ")
	_, err = os.Stat(mounts)
	assert.NilError(t, err, "the refused plugind left it alone")
	_, err = os.Stat(second.root)
	assert.ErrorIs(t, err, os.ErrNotExist)

	stop()
	d, err := newDaemon(t.Context(), second)
	assert.NilError(t, err)
	assert.NilError(t, d.close())
}
