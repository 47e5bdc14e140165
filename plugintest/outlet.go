package plugintest

import (
	"io"
	"sync"
)

// outlet is an output stream of a run. What is written while nobody is
// attached waits for the next.
type outlet struct {
	mu      sync.Mutex
	to      io.WriteCloser
	waiting []byte
	ended   bool
}

// Write never fails: like a process, a run is not told that its output could
// not be kept.
func (o *outlet) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to == nil {
		o.waiting = append(o.waiting, p...)
		return len(p), nil
	}
	_, _ = o.to.Write(p)
	return len(p), nil
}

// attach makes to the taker of the output, closing the one before. Where no
// more output will come it closes to and reports false.
func (o *outlet) attach(to io.WriteCloser) (attached bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		to.Close()
		return false
	}
	o.detachLocked()
	o.to = to
	_, _ = to.Write(o.waiting)
	o.waiting = nil
	return true
}

// detach closes the taker, if there is one; output waits from now on.
func (o *outlet) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.detachLocked()
}

// end closes the taker, if there is one, for good.
func (o *outlet) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.detachLocked()
}

func (o *outlet) detachLocked() {
	if o.to != nil {
		o.to.Close()
		o.to = nil
	}
}
