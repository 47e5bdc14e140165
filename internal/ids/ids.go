// SPDX-License-Identifier: Apache-2.0

// Package ids makes and shortens the IDs of plugins.
package ids

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
)

const (
	// idBytes gives IDs of 64 hexadecimal digits, like docker's.
	idBytes = 32
	// shortLength is the length of a shortened ID, like docker's.
	shortLength = 12
)

// New returns a random ID. Its [Short] form never consists of decimal digits
// alone, so that it is not mistaken for a number.
func New() string {
	b := make([]byte, idBytes)
	for {
		rand.Read(b) // never fails, see crypto/rand
		id := hex.EncodeToString(b)
		if _, err := strconv.ParseInt(Short(id), 10, 64); err != nil {
			return id
		}
	}
}

// Short returns the first 12 digits of an ID or a digest, without the digest's
// algorithm.
func Short(id string) string {
	if _, encoded, ok := strings.Cut(id, ":"); ok {
		id = encoded
	}
	return id[:min(len(id), shortLength)]
}
