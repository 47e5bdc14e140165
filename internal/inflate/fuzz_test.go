// SPDX-License-Identifier: Apache-2.0

package inflate

import (
	"bytes"
	stdgzip "compress/gzip"
	"math/rand/v2"
	"testing"

	"gotest.tools/v3/assert"
)

// FuzzStream compares ours with the standard library on any stream, and on any blocks
// in a sound member: the fuzzer can't find a checksum.
func FuzzStream(f *testing.F) {
	for _, stream := range streams(f, rand.New(rand.NewPCG(7, 8)), 1000) {
		f.Add(stream)
	}
	var header bytes.Buffer
	w := stdgzip.NewWriter(&header)
	assert.NilError(f, w.Flush())
	prefix := header.Bytes()[:10]
	f.Fuzz(func(t *testing.T, stream []byte) {
		agree(t, stream)
		agree(t, append(bytes.Clone(prefix), stream...))
	})
}
