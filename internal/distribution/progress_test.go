// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/pkg/progress"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// gate writes while it is open.
type gate struct {
	bytes.Buffer
	open chan struct{}
}

func (g *gate) Write(data []byte) (int, error) {
	<-g.open
	return g.Buffer.Write(data)
}

// A slow client gets every message and action in order, and of counts the
// newest.
func TestProgressOfASlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		s := NewProgress(g)
		progress.Message(s, "", "first")
		synctest.Wait() // it is being written
		progress.Update(s, "a", "Waiting")
		for i := range 1000 {
			for _, id := range []string{"a", "b"} {
				assert.NilError(t, s.WriteProgress(progress.Progress{ID: id, Action: "Downloading", Current: int64(i + 1), Total: 1000}))
			}
		}
		progress.Update(s, "a", "Done")
		assert.NilError(t, s.WriteProgress(progress.Progress{ID: "a", Action: "Extracting", Current: 1, Total: 2}))
		close(g.open)
		s.End(t.Context())
		got := strings.Split(strings.TrimSpace(g.String()), "\r\n")
		assert.Equal(t, len(got), 6, g.String())
		for i, want := range []string{"first", "Waiting", `"current":1000`, `"current":1000`, "Done", "Extracting"} {
			assert.Check(t, is.Contains(got[i], want))
		}
		assert.NilError(t, s.WriteProgress(progress.Progress{Message: "late"}))
	})
}

// A client that does not read delays the end, but not for ever, and for a second
// when the verb's context has ended.
func TestProgressOfAClientThatIsStuck(t *testing.T) {
	for name, patience := range map[string]time.Duration{"left alone": flushTimeout + lastWriteTimeout, "cancelled": lastWriteTimeout} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gate{open: make(chan struct{})}
				s := NewProgress(g)
				progress.Message(s, "", "first")
				progress.Message(s, "", "second")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				synctest.Wait()
				if name == "cancelled" {
					cancel()
				}
				began := time.Now()
				s.End(ctx)
				assert.Equal(t, time.Since(began), patience)
				close(g.open)
				synctest.Wait()
				assert.Check(t, !strings.Contains(g.String(), "second"), "it was written to after the end")
			})
		})
	}
}

// busyWriter takes a while for each write, and counts those in progress.
type busyWriter struct{ writing, written atomic.Int64 }

func (b *busyWriter) Write(data []byte) (int, error) {
	b.writing.Add(1)
	defer b.writing.Add(-1)
	time.Sleep(lastWriteTimeout / 2)
	b.written.Add(1)
	return len(data), nil
}

// A client that reads is not written to after the end, also of a verb that was
// cancelled while it was written to.
func TestProgressEndsWithItsVerb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var client busyWriter
		s := NewProgress(&client)
		for range 3 {
			progress.Message(s, "", "message")
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.End(ctx)
		assert.Equal(t, client.writing.Load(), int64(0))
		assert.Equal(t, client.written.Load(), int64(1))
		time.Sleep(time.Minute)
		assert.Equal(t, client.written.Load(), int64(1))
	})
}
