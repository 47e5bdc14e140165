// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/testenv"
)

// TestWrongPartThatStays resumes a download whose first part is wrong and can't be
// deleted, because something is mounted below it. The pull ends after a second attempt.
// Without the mount a pull works.
func TestWrongPartThatStays(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	b := newBench(t)
	cut := b.request(t)
	p, err := New(b.options).Resolve(t.Context(), cut)
	assert.NilError(t, err)
	layer := p.Layers[0]
	in, err := b.store.Incoming(t.Context(), cut.Pin, blobs.Blob{Digest: layer.Digest, Size: layer.Size}, p.session.source())
	assert.NilError(t, err)
	_, err = in.Write([]byte(strings.Repeat("z", 1000)))
	assert.NilError(t, err)
	in.Fail(errors.New("cut"))
	p.Close()
	parts, err := filepath.Glob(filepath.Join(b.dir, "ingest", "*"))
	assert.NilError(t, err)
	assert.Equal(t, len(parts), 1)
	busy := filepath.Join(parts[0], "busy")
	assert.NilError(t, os.Mkdir(busy, 0o700))
	assert.NilError(t, unix.Mount("none", busy, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(busy, unix.MNT_DETACH) })

	b.Requests()
	_, err = b.pull(t.Context(), b.request(t))
	_, wrong := find[*blobs.WrongContentError](err)
	assert.Check(t, wrong, "%v", err)
	assert.ErrorContains(t, err, busy)
	requests := len(b.asked(blobPath(b.packed[0])))
	assert.Check(t, requests <= 4, "%d requests", requests)

	assert.NilError(t, unix.Unmount(busy, 0))
	contents, err := b.pull(t.Context(), b.request(t))
	assert.NilError(t, err)
	assert.DeepEqual(t, contents, b.layers)
}
