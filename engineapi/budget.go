// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/dovetailhq/plugin/internal/class"
)

const (
	// maxBody bounds every body except streams such as a build context: a form,
	// or the settings or privileges of one plugin. It is below the length from
	// which docker's authorization middleware shows a body to no plugin and
	// lets it pass:
	// https://github.com/moby/moby/security/advisories/GHSA-x744-4wpc-v9h2.
	maxBody = 1<<20 - 1
	// freeBody is how much of its body each request holds without a wait: about
	// as much as its connection takes in any case. Most bodies are shorter.
	freeBody = 4 << 10
	// smallBody is how much of its body a request holds in one of smallBodies
	// places. A longer body waits for one of largeBodies places instead.
	smallBody   = 64 << 10
	smallBodies = 128
	largeBodies = 8
	// firstBuffer is the size of a body's first buffer.
	firstBuffer = 512
)

// budget bounds the memory of all bodies together to 16 MiB, besides freeBody
// of each: 8 MiB for small bodies and as much for large ones. A place is for
// the whole length of its class, so that bodies in places never wait for each
// other's bytes. Small bodies pass large ones, because they share no places.
type budget struct {
	small, large *semaphore.Weighted
}

func newBudget() *budget {
	return &budget{small: semaphore.NewWeighted(smallBodies), large: semaphore.NewWeighted(largeBodies)}
}

// heldBody is a body in memory. Its buffer grows with the bytes that arrive,
// within budget.
type heldBody struct {
	budget *budget
	data   []byte
	place  *semaphore.Weighted // the part of budget that the body has a place of, or nil
	waited time.Duration
}

// readFrom reads all of body, or maxBody and a byte.
func (h *heldBody) readFrom(ctx context.Context, body io.Reader) error {
	for len(h.data) <= maxBody {
		if len(h.data) == cap(h.data) {
			if err := h.grow(ctx); err != nil {
				return err
			}
		}
		n, err := body.Read(h.data[len(h.data):cap(h.data)])
		h.data = h.data[:len(h.data)+n]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return class.InvalidParameter(err)
		}
	}
	return nil
}

// grow doubles the buffer once the budget has room for it.
func (h *heldBody) grow(ctx context.Context) error {
	size := min(max(firstBuffer, 2*cap(h.data)), maxBody+1)
	if err := h.reserve(ctx, size); err != nil {
		return err
	}
	data := make([]byte, len(h.data), size)
	copy(data, h.data)
	h.data = data
	return nil
}

// reserve takes the place that a buffer of size bytes needs.
func (h *heldBody) reserve(ctx context.Context, size int) error {
	needed := h.budget.large
	switch {
	case size <= freeBody:
		return nil
	case size <= smallBody:
		needed = h.budget.small
	}
	if h.place == needed {
		return nil
	}
	if err := h.wait(ctx, needed); err != nil {
		return err
	}
	h.release()
	h.place = needed
	return nil
}

// wait takes a place of part. The waits of a body last for patience in total.
func (h *heldBody) wait(ctx context.Context, part *semaphore.Weighted) error {
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, patience-h.waited)
	defer cancel()
	err := part.Acquire(bounded, 1)
	h.waited += time.Since(began)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err() // the client is gone
	}
	return class.Unavailable(fmt.Errorf("read request: the bodies of other requests took all memory for bodies for %s: try again later", patience))
}

// release frees the body's place.
func (h *heldBody) release() {
	if h.place != nil {
		h.place.Release(1)
		h.place = nil
	}
}
