// SPDX-License-Identifier: Apache-2.0

package plaintext

import (
	"bytes"
	"encoding/json"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func FuzzJSONWriter(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x1b[31mred", "C1 \u009b2J", "right to \u202e left", "tag \U000e0041", "\xff", "\u200bline\u2028"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plainly, err := json.Marshal(text)
		assert.NilError(t, err)
		var want, got string
		assert.NilError(t, json.Unmarshal(plainly, &want))
		var written bytes.Buffer
		assert.NilError(t, json.NewEncoder(JSONWriter(&written)).Encode(text))
		assert.Check(t, Is(string(bytes.TrimSuffix(written.Bytes(), []byte("\n")))), "%q", written.String())
		assert.NilError(t, json.Unmarshal(written.Bytes(), &got))
		assert.Check(t, is.Equal(got, want))
	})
}
