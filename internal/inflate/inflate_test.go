// SPDX-License-Identifier: Apache-2.0

package inflate

import (
	"bytes"
	"compress/flate"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"gotest.tools/v3/assert"
)

// reader makes a reader of a gzip stream.
type reader func(source io.Reader) (io.Reader, error)

func ours(source io.Reader) (io.Reader, error)     { return NewReader(source) }
func standard(source io.Reader) (io.Reader, error) { return stdgzip.NewReader(source) }

func inflated(stream io.Reader, open reader) ([]byte, error) {
	r, err := open(stream)
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	_, err = io.Copy(&all, r)
	return all.Bytes(), err
}

// verdict is the kind of an error. The places of damage differ between readers.
func verdict(err error) string {
	if corrupt := flate.CorruptInputError(0); errors.As(err, &corrupt) {
		return "corrupt"
	}
	return fmt.Sprint(err)
}

// agree compares ours with the standard library on a stream that arrives as a whole,
// and byte by byte. Before the end of a stream that was cut off, the standard library
// keeps back symbols with fewer bits than the end of the block has.
func agree(t *testing.T, stream []byte) {
	t.Helper()
	want, wantErr := inflated(bytes.NewReader(stream), standard)
	for name, source := range map[string]io.Reader{
		"whole": bytes.NewReader(stream),
		"bytes": iotest.OneByteReader(bytes.NewReader(stream)),
	} {
		got, err := inflated(source, ours)
		assert.Equal(t, verdict(err), verdict(wantErr), "%s: %v, want %v", name, err, wantErr)
		if errors.Is(err, io.ErrUnexpectedEOF) && len(got) > len(want) {
			got = got[:len(want)]
		}
		assert.Check(t, bytes.Equal(got, want), "%s: %d bytes, want %d", name, len(got), len(want))
	}
}

// contents are inputs of compressors, by name.
func contents(random *rand.Rand, size int) map[string][]byte {
	words := []string{"plugin ", "volume ", "network ", "mount ", "socket ", "layer ", "digest ", "\n"}
	var text, machine, noise, short bytes.Buffer
	for text.Len() < size {
		text.WriteString(words[random.IntN(len(words))])
		fmt.Fprint(&machine, words[random.IntN(len(words))], random.Uint64()>>random.IntN(64))
		noise.WriteByte(byte(random.Uint32()))
		short.WriteByte(byte(random.ExpFloat64() * 8))
		noise.WriteByte(byte(random.Uint32()))
		if random.IntN(1000) == 0 {
			short.Write(make([]byte, random.IntN(1000)))
		}
	}
	return map[string][]byte{"text": text.Bytes(), "machine": machine.Bytes(), "noise": noise.Bytes(), "short": short.Bytes(), "zeros": make([]byte, size), "empty": nil}
}

// streams compresses each of contents by several compressors and levels.
func streams(t testing.TB, random *rand.Rand, size int) map[string][]byte {
	all := make(map[string][]byte)
	for name, content := range contents(random, size) {
		for _, level := range []int{stdgzip.HuffmanOnly, stdgzip.NoCompression, 1, 6, 9} {
			var stream bytes.Buffer
			w, err := stdgzip.NewWriterLevel(&stream, level)
			assert.NilError(t, err)
			_, err = w.Write(content)
			assert.NilError(t, err)
			assert.NilError(t, w.Close())
			all[fmt.Sprintf("%s, level %d", name, level)] = stream.Bytes()

			stream = bytes.Buffer{}
			fast, err := gzip.NewWriterLevel(&stream, level)
			assert.NilError(t, err)
			_, err = fast.Write(content)
			assert.NilError(t, err)
			assert.NilError(t, fast.Close())
			all[fmt.Sprintf("%s, klauspost level %d", name, level)] = stream.Bytes()
		}
	}
	return all
}

// TestSoundStreams inflates what compressors make.
func TestSoundStreams(t *testing.T) {
	for name, stream := range streams(t, rand.New(rand.NewPCG(1, 2)), 300_000) {
		t.Run(name, func(t *testing.T) { agree(t, stream) })
	}
}

// TestDamagedStreams changes, removes and adds bytes and cuts streams off.
func TestDamagedStreams(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for name, stream := range streams(t, random, 3000) {
		t.Run(name, func(t *testing.T) {
			for range 60 {
				agree(t, damage(random, stream))
			}
		})
	}
}

func damage(random *rand.Rand, stream []byte) []byte {
	damaged := bytes.Clone(stream)
	for range 1 + random.IntN(3) {
		at := random.IntN(len(damaged))
		if random.IntN(2) == 0 {
			at = random.IntN(min(len(damaged), 120)) // headers of the member and of the first block
		}
		switch random.IntN(5) {
		case 0:
			damaged = damaged[:at+1]
		case 1:
			damaged = append(damaged[:at:at], damaged[min(len(damaged)-1, at+1):]...)
		case 2:
			damaged = append(damaged, stream[:random.IntN(min(len(stream), 40))]...)
		default:
			damaged[at] ^= 1 << random.IntN(8)
		}
	}
	return damaged
}

// TestEveryCut cuts a stream at each byte.
func TestEveryCut(t *testing.T) {
	for _, stream := range streams(t, rand.New(rand.NewPCG(5, 6)), 150) {
		for end := range stream {
			agree(t, stream[:end])
		}
	}
}
