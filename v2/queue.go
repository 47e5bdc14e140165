// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// quickAnswer is the time a file system needs for one place, unless it waits
	// for a disk or a server. The mount of a request is looked up only after it.
	quickAnswer = 5 * time.Millisecond
	// abreast bounds concurrent requests: all quick ones together, and the slow
	// ones of each mount. A file system that stops answering blocks as many
	// threads. It is more than one because a remote server answers several
	// requests in the time of one.
	abreast = 4
	// silence is the time after which a request shows that its file system does
	// not answer.
	silence = time.Second
)

// mountOfHost is the mount that a place of the host is on.
type mountOfHost struct {
	id    int // 0 if it is not known
	point string
	kind  string
}

// request is one place that the kernel is asked for.
type request struct {
	place string
	since time.Time
	// changed is closed when the kernel has answered, and when the mount has been
	// found to be silent.
	changed   chan struct{}
	located   bool        // mount has been looked up
	mount     mountOfHost // of place
	abandoned bool        // no caller waits for the answer
	silent    bool        // a caller gave up after at least silence
}

// queue holds all requests that the kernel works on. While an abandoned request
// hangs in a mount, further looks at that mount send no request: they wait for
// its answer. Once the mount is known to be silent, they are refused at once
// until the answer comes.
type queue struct {
	mu       sync.Mutex
	requests map[*request]struct{}
	mounts   mountList // read without mu: requests must end while a long list is read
}

// hostQueue is global, because threads and mounts belong to the process.
var hostQueue = queue{requests: make(map[*request]struct{}), mounts: mountList{read: mountFinder}}

// pass ends the last request of w, and returns when w can ask for place.
func (q *queue) pass(w *watch, place string) error {
	q.end(w)
	if place == "" {
		return nil
	}
	for {
		ahead, isSlow, err := q.try(w, place)
		if ahead == nil {
			return err
		}
		ahead.await(w.ctx, isSlow)
	}
}

// try begins a request, or returns another request that w has to wait for, or
// refuses w.
func (q *queue) try(w *watch, place string) (ahead *request, isSlow bool, err error) {
	ahead, isSlow, err = q.tryWith(w, place, nil)
	if errors.Is(err, errNoList) {
		q.mounts.with(func(mountOf finder) { ahead, isSlow, err = q.tryWith(w, place, mountOf) })
	}
	return ahead, isSlow, err
}

// errNoList reports that the list of mounts is needed.
var errNoList = errors.New("the list of mounts is needed")

// tryWith is try with the list of mounts. It returns errNoList if mountOf is nil and
// there are slow requests.
func (q *queue) tryWith(w *watch, place string, mountOf finder) (ahead *request, isSlow bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.refused == nil {
		w.refused = w.ctx.Err()
	}
	if w.refused != nil {
		return nil, false, w.refused // again, because callers skip places with an error
	}
	w.place, w.awaits = place, nil
	fast, slow, err := q.otherLocked(place, mountOf)
	if err != nil {
		return nil, false, err
	}
	for _, r := range slow {
		if r.silent {
			w.refused = w.noAnswer(r.mount)
			return nil, false, w.refused
		}
	}
	abandoned := slices.IndexFunc(slow, func(r *request) bool { return r.abandoned })
	switch {
	case abandoned >= 0:
		w.awaits = slow[abandoned]
	case len(slow) >= abreast:
		w.awaits = slow[0]
	case len(fast) >= abreast:
		return fast[0], false, nil
	default:
		w.asks = &request{place: place, since: time.Now(), changed: make(chan struct{})}
		q.requests[w.asks] = struct{}{}
		return nil, false, nil
	}
	return w.awaits, true, nil
}

// otherLocked returns the requests that are quick so far, and those that are slow
// and on the mount of place. It returns errNoList if it needs mountOf, which is nil.
func (q *queue) otherLocked(place string, mountOf finder) (fast, slow []*request, err error) {
	var own mountOfHost
	for r := range q.requests {
		if !r.abandoned && time.Since(r.since) < quickAnswer {
			fast = append(fast, r)
			continue
		}
		if mountOf == nil {
			return nil, nil, errNoList
		}
		r.findMount(mountOf)
		if _, ok := below(place, r.mount.point); !ok || r.mount.id == 0 {
			continue
		}
		if own.id == 0 {
			own = mountOf(place)
		}
		if own.id == r.mount.id {
			slow = append(slow, r)
		}
	}
	return fast, slow, nil
}

func (r *request) findMount(mountOf finder) {
	if !r.located {
		r.located, r.mount = true, mountOf(r.place)
	}
}

// await returns when r has changed, when it stops being quick, or when ctx ends.
func (r *request) await(ctx context.Context, isSlow bool) {
	var slow <-chan time.Time
	if !isSlow {
		timer := time.NewTimer(quickAnswer)
		defer timer.Stop()
		slow = timer.C
	}
	select {
	case <-r.changed:
	case <-slow:
	case <-ctx.Done():
	}
}

// end removes the last request of w, which the kernel has answered.
func (q *queue) end(w *watch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.asks == nil {
		return
	}
	delete(q.requests, w.asks)
	if !w.asks.silent {
		close(w.asks.changed)
	}
	w.asks = nil
}

func (q *queue) refusal(w *watch) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return w.refused
}

// giveUp marks the request of w as abandoned and returns the reason, once ctx has
// ended. If the request took at least silence, its mount is silent from now on.
func (q *queue) giveUp(w *watch, ctx context.Context) (err error) {
	if !q.abandon(w) {
		return q.reason(w, ctx)
	}
	q.mounts.with(func(mountOf finder) {
		q.locate(w, mountOf)
		err = q.reason(w, ctx)
	})
	return err
}

// abandon reports whether the request of w is not located yet.
func (q *queue) abandon(w *watch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.asks == nil {
		return false
	}
	w.asks.abandoned = true
	return !w.asks.located
}

func (q *queue) locate(w *watch, mountOf finder) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.asks != nil {
		w.asks.findMount(mountOf)
	}
}

func (q *queue) reason(w *watch, ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var silent mountOfHost
	r := cmp.Or(w.asks, w.awaits)
	_, hangs := q.requests[r]
	if hangs && time.Since(r.since) >= silence && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		silent = r.mount
		if !r.silent {
			r.silent = true
			close(r.changed)
		}
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errPatience) {
		return cause
	}
	return w.noAnswer(silent)
}
