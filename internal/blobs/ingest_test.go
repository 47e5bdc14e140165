// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// full is a writer that writes half of its data and fails.
type full struct{ strings.Builder }

var errFull = errors.New("no space left")

func (f *full) Write(data []byte) (int, error) {
	n, _ := f.Builder.Write(data[:len(data)/2])
	return n, errFull
}

func TestWriteThatFailsHasAClass(t *testing.T) {
	var disk full
	n, err := write(&disk, []byte("0123456789"))
	assert.Equal(t, n, 5)
	assert.Check(t, is.ErrorIs(err, errFull))
	assert.Check(t, errdefs.IsInternal(err), "%v", err)
	assert.Equal(t, err.Error(), "write blob: no space left")
	var taken strings.Builder
	n, err = write(&taken, []byte("0123456789"))
	assert.NilError(t, err)
	assert.Equal(t, n, 10)
}

// Commit keeps valid content although the store has a corrupt blob of the same
// digest: the valid content may be the only copy.
func TestIngestReplacesDamage(t *testing.T) {
	for _, damaged := range []string{"CONTENT", "", "content and more"} {
		s := open(t, nil)
		dgst := put(t, s, s.NewPin(), "content")
		overwrite(t, s, dgst, damaged)
		assert.Equal(t, put(t, s, s.NewPin(), "content"), dgst)
		data, err := s.ReadAll(t.Context(), dgst, 100)
		assert.NilError(t, err)
		assert.Equal(t, string(data), "content")
	}
}
