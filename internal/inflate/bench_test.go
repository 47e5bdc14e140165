// SPDX-License-Identifier: Apache-2.0

package inflate

import (
	"bytes"
	stdgzip "compress/gzip"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/klauspost/compress/gzip"
	"gotest.tools/v3/assert"
)

// BenchmarkInflate compares the readers on text, and on the program of the test.
func BenchmarkInflate(b *testing.B) {
	program, err := os.Executable()
	assert.NilError(b, err)
	binary, err := os.ReadFile(program)
	assert.NilError(b, err)
	all := contents(rand.New(rand.NewPCG(1, 2)), 16<<20)
	for name, content := range map[string][]byte{"text": all["text"], "machine": all["machine"], "binary": binary} {
		var stream bytes.Buffer
		w := stdgzip.NewWriter(&stream)
		_, err := w.Write(content)
		assert.NilError(b, err)
		assert.NilError(b, w.Close())
		for reader, open := range map[string]reader{
			"ours": ours, "standard": standard,
			"klauspost": func(source io.Reader) (io.Reader, error) { return gzip.NewReader(source) },
		} {
			b.Run(name+"/"+reader, func(b *testing.B) {
				b.SetBytes(int64(len(content)))
				block := make([]byte, 128<<10)
				for b.Loop() {
					r, err := open(bytes.NewReader(stream.Bytes()))
					assert.NilError(b, err)
					_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, block)
					assert.NilError(b, err)
				}
			})
		}
	}
}
