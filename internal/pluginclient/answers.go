// SPDX-License-Identifier: Apache-2.0

package pluginclient

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
)

const (
	// MaxAnswer bounds the answer of a plugin to one call. Callers decode answers
	// in memory. The longest legitimate answer is a list of volumes: at some 250
	// bytes a volume there is room for 30,000.
	MaxAnswer = 8 << 20
	// MaxAnswerItems bounds the commas in an answer, and thereby the values: a
	// decoder turns an empty object of three bytes into a hundred bytes.
	MaxAnswerItems = 256 << 10

	// shortAnswer and shortAnswerItems bound answers that are read without
	// waiting for others: all except lists of hundreds of volumes.
	shortAnswer      = 64 << 10
	shortAnswerItems = 1 << 10
	// MaxLongAnswers is how many longer answers are read at the same time, over
	// all plugins of a manager: 32 MiB, and a million values.
	MaxLongAnswers = 4
)

// Room has room for each long answer that is being read: one of a plugin,
// so that a plugin that stalls leaves room to the others, and a few of all
// plugins together. It is safe for concurrent use.
type Room struct{ ofPlugin, ofAll chan struct{} }

// NewRoom returns the room of a plugin, within the room that all plugins share.
func NewRoom(ofAll chan struct{}) Room {
	return Room{ofPlugin: make(chan struct{}, 1), ofAll: ofAll}
}

// enter waits for room, or for the end of ctx.
func (l Room) enter(ctx context.Context) error {
	select {
	case l.ofPlugin <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case l.ofAll <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-l.ofPlugin
		return context.Cause(ctx)
	}
}

func (l Room) release() {
	<-l.ofAll
	<-l.ofPlugin
}

// boundedAnswer is the body of an answer. A long one is read once there is room
// for it, which it gives back when it is closed or fails. Close may be called
// while Read waits, and ends the wait.
type boundedAnswer struct {
	io.ReadCloser
	method  string
	limit   int64
	bytes   int64 // how many may still come
	items   int
	room    Room
	tooLong func(method string) error
	ctx     context.Context // of the call; it ends with Close
	cancel  context.CancelFunc

	mu     sync.Mutex
	long   bool // it has room
	closed bool // it takes no more
}

func newBoundedAnswer(ctx context.Context, body io.ReadCloser, method string, limit int64, options Options) *boundedAnswer {
	ctx, cancel := context.WithCancel(ctx)
	return &boundedAnswer{
		ReadCloser: body, method: method, limit: limit, bytes: limit, items: MaxAnswerItems,
		room: options.Room, tooLong: options.TooLong, ctx: ctx, cancel: cancel,
	}
}

func (b *boundedAnswer) Read(p []byte) (int, error) {
	if b.bytes < 0 || b.items < 0 {
		return 0, b.tooLong(b.method)
	}
	// One byte more distinguishes an answer that is too long from an answer of
	// the maximum length.
	if int64(len(p)) > b.bytes+1 {
		p = p[:b.bytes+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.bytes -= int64(n)
	b.items -= bytes.Count(p[:n], []byte(","))
	if b.bytes < 0 || b.items < 0 {
		b.end()
		return 0, b.tooLong(b.method)
	}
	if err != nil && err != io.EOF {
		b.end()
		return n, err
	}
	if b.limit-b.bytes > shortAnswer || MaxAnswerItems-b.items > shortAnswerItems {
		if err := b.waitForRoom(); err != nil {
			return 0, fmt.Errorf("call %s: wait until other long answers are read: %w", b.method, err)
		}
	}
	return n, err
}

func (b *boundedAnswer) waitForRoom() error {
	b.mu.Lock()
	long := b.long
	b.mu.Unlock()
	if long {
		return nil
	}
	if err := b.room.enter(b.ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		b.room.release()
		return context.Canceled
	}
	b.long = true
	return nil
}

// Close implements [io.Closer].
func (b *boundedAnswer) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

// end gives room back.
func (b *boundedAnswer) end() {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.long && !b.closed {
		b.room.release()
	}
	b.closed = true
}
