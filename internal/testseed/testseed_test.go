// SPDX-License-Identifier: Apache-2.0

package testseed

import (
	"testing"

	"gotest.tools/v3/assert"
)

func TestOf(t *testing.T) {
	before := *given
	t.Cleanup(func() { *given = before })
	*given = 0
	first, second := Of(t), Of(t)
	assert.Check(t, first != second)
	*given = 7
	assert.Equal(t, Of(t), uint64(7))
}
