// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"math/rand/v2"
)

// proseBytes exceeds the window of compressors, so that text repeats itself
// only as natural text does.
const proseBytes = 8 << 20

// prose returns text with words of natural frequency. gzip reduces it to about
// a third.
func prose() []byte {
	random := newRandom(1)
	words := make([][]byte, 5000)
	for i := range words {
		words[i] = make([]byte, 3+random.IntN(9))
		for j := range words[i] {
			words[i][j] = byte('a' + random.IntN(26))
		}
		words[i][len(words[i])-1] = ' '
	}
	zipf := rand.NewZipf(random, 1.1, 4, uint64(len(words)-1))
	var b bytes.Buffer
	for b.Len() < proseBytes {
		b.Write(words[zipf.Uint64()])
	}
	return b.Bytes()
}

// newRandom returns a generator with the same numbers in every run.
func newRandom(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, seed))
}
