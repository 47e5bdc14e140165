// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

// Pin keeps sweeps from deleting the blobs of one operation. It is safe for
// concurrent use.
type Pin struct {
	pins *pins
	held map[digest.Digest]struct{} // nil once released; guarded by pins.mu
}

// NewPin returns a pin that holds no blob. The caller releases it.
func (s *Store) NewPin() *Pin {
	return &Pin{pins: &s.pins, held: make(map[digest.Digest]struct{})}
}

// Add makes the pin hold blobs, whether the store has them yet or not. Once Add
// has returned, no sweep deletes them. Add does nothing after Release.
func (p *Pin) Add(digests ...digest.Digest) {
	p.pins.mu.Lock()
	defer p.pins.mu.Unlock()
	if p.held == nil {
		return
	}
	for _, dgst := range digests {
		if _, ok := p.held[dgst]; !ok {
			p.held[dgst] = struct{}{}
			p.pins.addLocked(dgst)
		}
	}
}

// Release releases all blobs of the pin. Further calls do nothing.
func (p *Pin) Release() {
	p.pins.mu.Lock()
	defer p.pins.mu.Unlock()
	for dgst := range p.held {
		p.pins.dropLocked(dgst)
	}
	p.held = nil
}

// pins counts the pins of each blob. The zero value is ready to use.
type pins struct {
	mu     sync.Mutex
	counts map[digest.Digest]int
	// during, while a sweep runs, contains the blobs that were pinned at any time
	// since its beginning. An operation that ended since may have published its
	// references after the sweep called mark.
	during map[digest.Digest]struct{}
}

func (p *pins) addLocked(dgst digest.Digest) {
	if p.counts == nil {
		p.counts = make(map[digest.Digest]int)
	}
	p.counts[dgst]++
	if p.during != nil {
		p.during[dgst] = struct{}{}
	}
}

func (p *pins) dropLocked(dgst digest.Digest) {
	p.counts[dgst]--
	if p.counts[dgst] == 0 {
		delete(p.counts, dgst)
	}
}

func (p *pins) beginSweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.during = make(map[digest.Digest]struct{}, len(p.counts))
	for dgst := range p.counts {
		p.during[dgst] = struct{}{}
	}
}

func (p *pins) endSweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.during = nil
}

// unlessHeld calls remove unless dgst was pinned since the sweep began. Nothing
// can be pinned while remove runs.
func (p *pins) unlessHeld(dgst digest.Digest, remove func() error) (removed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, held := p.during[dgst]; held {
		return false, nil
	}
	err = remove()
	return err == nil, err
}
