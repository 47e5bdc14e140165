// SPDX-License-Identifier: Apache-2.0

package members

import (
	"bufio"
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/inflate"
)

// content returns size bytes. Some of them compress.
func content(size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(random.Uint32()) & byte(0xf|i>>12)
	}
	return data
}

func stream(t testing.TB, data []byte, cores int) []byte {
	t.Helper()
	var compressed bytes.Buffer
	w := NewWriter(&compressed, cores)
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 100_000)
		_, err := w.Write(rest[:n])
		assert.NilError(t, err)
		rest = rest[n:]
	}
	assert.NilError(t, w.Close())
	assert.NilError(t, w.Close())
	return compressed.Bytes()
}

// TestStream writes streams of several sizes by different numbers of cores, and reads
// them with the standard library and with Reader.
func TestStream(t *testing.T) {
	for _, size := range []int{0, 1, BlockBytes - 1, BlockBytes, BlockBytes + 1, 5*BlockBytes + 7} {
		data := content(size)
		compressed := stream(t, data, 1)
		assert.Check(t, bytes.Equal(compressed, stream(t, data, 4)), "%d bytes", size)
		plain, err := stdgzip.NewReader(bytes.NewReader(compressed))
		assert.NilError(t, err)
		got, err := io.ReadAll(plain)
		assert.NilError(t, err)
		assert.Check(t, bytes.Equal(got, data))
		source := bufio.NewReader(bytes.NewReader(compressed))
		assert.Check(t, Begins(source))
		got, err = read(source)
		assert.NilError(t, err)
		assert.Check(t, bytes.Equal(got, data))
	}
}

func read(source *bufio.Reader) ([]byte, error) {
	r := NewReader(source, 4)
	defer r.Close()
	return io.ReadAll(r)
}

// TestLengthsThatLie reads streams with wrong lengths, with other members among them,
// cut off, and with damage: the bytes and the verdict are those of the plain way.
func TestLengthsThatLie(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	sound := stream(t, content(2*BlockBytes+1000), 2)
	var foreign bytes.Buffer
	w := stdgzip.NewWriter(&foreign)
	_, err := w.Write(content(BlockBytes + 1000))
	assert.NilError(t, err)
	assert.NilError(t, w.Close())
	second := int(binary.LittleEndian.Uint32(sound[lengthAt:]))
	withLength := func(length int) []byte {
		lying := bytes.Clone(sound)
		binary.LittleEndian.PutUint32(lying[second+lengthAt:], uint32(length))
		return lying
	}
	streams := map[string][]byte{
		"zero": withLength(0), "of the header": withLength(headerBytes), "too short": withLength(1000), "beyond the end": withLength(maxMemberBytes), "of two members": withLength(2 * second), "too large": withLength(1 << 31),
		"foreign member first":      append(foreign.Bytes(), sound...),
		"foreign member in between": append(append(bytes.Clone(sound), foreign.Bytes()...), sound...),
		"garbage after the end":     append(bytes.Clone(sound), "garbage"...),
		"member of a large block":   disguised(foreign.Bytes()),
		"empty":                     nil,
	}
	for i := range 10 {
		damaged := bytes.Clone(sound)
		damaged[random.IntN(len(damaged))] ^= 1 << random.IntN(8)
		streams[fmt.Sprintf("damage %d", i)] = damaged
		streams[fmt.Sprintf("cut %d", i)] = sound[:random.IntN(len(sound))]
	}
	for name, stream := range streams {
		t.Run(name, func(t *testing.T) {
			var want []byte
			plain, wantErr := inflate.NewReader(bytes.NewReader(stream))
			if wantErr == nil {
				want, wantErr = io.ReadAll(plain)
			} else if wantErr == io.EOF {
				wantErr = nil
			}
			got, err := read(bufio.NewReader(bytes.NewReader(stream)))
			assert.Equal(t, fmt.Sprint(err), fmt.Sprint(wantErr))
			assert.Check(t, bytes.Equal(got, want), "%d bytes, want %d", len(got), len(want))
		})
	}
}

// disguised gives a member the header of one with a length.
func disguised(member []byte) []byte {
	stream := append(bytes.Clone(start), 0, 0, 0, 0)
	stream = append(stream, member[10:]...)
	binary.LittleEndian.PutUint32(stream[lengthAt:], uint32(len(stream)))
	return stream
}

// TestErrorsOfEnds returns the errors of the source and of the sink.
func TestErrorsOfEnds(t *testing.T) {
	broken := errors.New("connection cut")
	sound := stream(t, content(3*BlockBytes), 2)
	for _, end := range []int{0, 10, len(sound) / 2, len(sound)} {
		_, err := read(bufio.NewReader(io.MultiReader(bytes.NewReader(sound[:end]), iotest.ErrReader(broken))))
		assert.Check(t, is.ErrorIs(err, broken), "%d bytes", end)
	}
	w := NewWriter(failing{broken}, 2)
	var err error
	for i := 0; err == nil && i < 100; i++ {
		_, err = w.Write(make([]byte, BlockBytes))
	}
	assert.Check(t, is.ErrorIs(err, broken))
	assert.Check(t, is.ErrorIs(w.Close(), broken))
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestCloseInTheMiddle closes readers that have members in flight.
func TestCloseInTheMiddle(t *testing.T) {
	sound := stream(t, content(8*BlockBytes), 2)
	for range 5 {
		r := NewReader(bufio.NewReader(bytes.NewReader(sound)), 4)
		_, err := io.ReadFull(r, make([]byte, 10))
		assert.NilError(t, err)
		r.Close()
	}
}
