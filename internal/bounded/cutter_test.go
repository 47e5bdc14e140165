// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"slices"
	"testing"

	"gotest.tools/v3/assert"
)

// TestCutter cuts streams that arrive in chunks of each size.
func TestCutter(t *testing.T) {
	for _, tc := range []struct {
		name, stream string
		want         []string
	}{
		{"nothing", "", nil},
		{"lines", "a\nbc\n", []string{"a\n", "bc\n"}},
		{"empty lines", "\n\n", []string{"\n", "\n"}},
		{"a rest", "a\nbc", []string{"a\n", "bc"}},
		{"a line of the limit", "abcd\nab\n", []string{"abcd\n", "ab\n"}},
		{"a rest of the limit", "abcd", []string{"abcd"}},
		{"a line beyond the limit", "abcdefghi\nab\n", []string{"abcd", "efgh", "i\n", "ab\n"}},
		{"a multiple of the limit", "abcdefgh\n", []string{"abcd", "efgh\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for size := 1; size <= max(1, len(tc.stream)); size++ {
				c := Cutter{Max: 4}
				var got []string
				keep := func(line []byte) { got = append(got, string(line)) }
				for chunk := range slices.Chunk([]byte(tc.stream), size) {
					c.Cut(chunk, keep)
				}
				c.Flush(keep)
				assert.DeepEqual(t, got, tc.want)
			}
		})
	}
}
