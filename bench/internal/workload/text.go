package workload

import (
	"bytes"
	"math/rand/v2"
)

// proseBytes is more than a compressor looks back, so that text repeats itself
// no more often than text does.
const proseBytes = 8 << 20

// prose is text of words that are as common as words are: gzip makes it about
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

// newRandom returns numbers that are the same in every run.
func newRandom(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, seed))
}
