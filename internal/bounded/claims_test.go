// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"
)

// TestClaims waits for a key until it is released, and no longer than its context.
func TestClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var claims Claims[string, int]
		_, ok := claims.Try("key", 7)
		assert.Check(t, ok)
		_, ok = claims.Try("other", 8)
		assert.Check(t, ok, "keys exclude each other")

		held, ok := claims.Try("key", 9)
		assert.Check(t, !ok)
		assert.Equal(t, held.Note, 7)
		left := errors.New("the caller has left")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(left)
		assert.Equal(t, held.Await(ctx), left)

		ended := make(chan error, 1)
		go func() { ended <- held.Await(t.Context()) }()
		synctest.Wait()
		assert.Equal(t, len(ended), 0, "the wait ended before the claim")
		claims.Release("key")
		assert.NilError(t, <-ended)
		_, ok = claims.Find("key")
		assert.Check(t, !ok)
		_, ok = claims.Find("other")
		assert.Check(t, ok)
	})
}
