// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"io"
	"sync"
)

// outlet is an output stream of a run. It buffers output while no stream of a
// manager is attached.
type outlet struct {
	mu      sync.Mutex
	to      io.WriteCloser
	waiting []byte
	ended   bool
}

// Write never fails: like a process, a run does not learn that its output was
// lost.
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

// attach sends the output to a new stream and closes the previous one. If the run
// has ended, it closes the new stream and returns false.
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

// detach closes the attached stream, if there is one. Further output is buffered.
func (o *outlet) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.detachLocked()
}

// end closes the attached stream, if there is one. No stream can be attached after
// that.
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
