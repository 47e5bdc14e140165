// Package ids makes the ids of plugins and shortens what people read.
package ids

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
)

const (
	// idBytes makes ids of 64 hexadecimal digits, as docker's are.
	idBytes = 32
	// shortLength is how much of an id people are shown.
	shortLength = 12
)

// New returns a random id. What [Short] shows of it is never digits alone: such
// a name is taken for a number.
func New() string {
	b := make([]byte, idBytes)
	for {
		rand.Read(b) // it never fails, see crypto/rand
		id := hex.EncodeToString(b)
		if _, err := strconv.ParseInt(Short(id), 10, 64); err != nil {
			return id
		}
	}
}

// Short returns the first digits of an id or a digest, without the name of a
// digest's algorithm.
func Short(id string) string {
	if _, encoded, ok := strings.Cut(id, ":"); ok {
		id = encoded
	}
	return id[:min(len(id), shortLength)]
}
