// SPDX-License-Identifier: Apache-2.0

package siblings

import (
	"testing"

	"gotest.tools/v3/assert"
)

func TestGroup(t *testing.T) {
	var g Group[string]
	g.Part("absent")
	assert.Equal(t, len(g.Others("one")), 0)
	g.Join("one")
	g.Join("two")
	g.Join("three")
	assert.DeepEqual(t, g.Others("two"), []string{"one", "three"})
	g.Part("one")
	assert.DeepEqual(t, g.Others("two"), []string{"three"})
	assert.DeepEqual(t, g.Others("absent"), []string{"two", "three"})
}
