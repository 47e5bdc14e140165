// SPDX-License-Identifier: Apache-2.0

package memnet

import (
	"context"
	"io"
	"syscall"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n Network
		_, err := n.Dial(t.Context(), "tcp", "host:80")
		assert.Check(t, is.ErrorIs(err, syscall.ECONNREFUSED))
		l := n.Listen("host:80")
		assert.Equal(t, l.Addr().String(), "host:80")
		go func() {
			c, err := l.Accept()
			assert.Check(t, err)
			_, err = io.WriteString(c, "hello")
			assert.Check(t, err)
			assert.Check(t, c.Close())
		}()
		c, err := n.Dial(t.Context(), "tcp", "host:80")
		assert.NilError(t, err)
		said, err := io.ReadAll(c)
		assert.NilError(t, err)
		assert.Equal(t, string(said), "hello")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = n.Dial(ctx, "tcp", "host:80")
		assert.Check(t, is.ErrorIs(err, context.Canceled), "no connection is accepted")
		assert.NilError(t, l.Close())
		assert.NilError(t, l.Close())
		_, err = n.Dial(t.Context(), "tcp", "host:80")
		assert.Check(t, is.ErrorIs(err, syscall.ECONNREFUSED))
		_, err = l.Accept()
		assert.Check(t, err != nil)
	})
}
