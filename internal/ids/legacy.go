// SPDX-License-Identifier: Apache-2.0

package ids

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
)

var (
	whole = regexp.MustCompile(`^[0-9a-f]{64}$`)
	part  = regexp.MustCompile(`^[0-9a-f]{1,32}$`)
)

// FromLegacy returns the ID that an import gives to a plugin of docker 1.12, where
// any file name could be an ID. An ID of today's form stays. One of at most 32
// hexadecimal digits becomes the beginning of the new ID, so that it still refers to the
// plugin, also for docker. The rest, at least 128 bits, is a hash of the old ID: an import that is repeated gives the same ID, and
// the old ID leads to the new one without a record.
func FromLegacy(old string) string {
	if whole.MatchString(old) {
		return old
	}
	sum := sha256.Sum256([]byte(old))
	id := hex.EncodeToString(sum[:])
	if part.MatchString(old) {
		return old + id[len(old):]
	}
	return id
}
