package blobs

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

// Pin holds blobs for one operation. It is safe for concurrent use.
type Pin struct {
	pins *pins
	held map[digest.Digest]struct{} // nil once released; guarded by pins.mu
}

// NewPin returns a pin that holds nothing yet. Release must follow.
func (s *Store) NewPin() *Pin {
	return &Pin{pins: &s.pins, held: make(map[digest.Digest]struct{})}
}

// Add holds blobs, whether they are here already or not. From its return on
// no sweep deletes them. A pin that was released holds nothing any more.
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

// Release lets go of everything. It may be called again.
func (p *Pin) Release() {
	p.pins.mu.Lock()
	defer p.pins.mu.Unlock()
	for dgst := range p.held {
		p.pins.dropLocked(dgst)
	}
	p.held = nil
}

// pins counts who holds what. The zero value is ready.
type pins struct {
	mu     sync.Mutex
	counts map[digest.Digest]int
	// during, while a sweep runs, is what was held at any time of it: an
	// operation that ended meanwhile may have published what it held after
	// the sweep asked what is referenced.
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

// unlessHeld calls remove if nobody held dgst since the sweep began, and lets
// nobody begin to meanwhile.
func (p *pins) unlessHeld(dgst digest.Digest, remove func() error) (removed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, held := p.during[dgst]; held {
		return false, nil
	}
	err = remove()
	return err == nil, err
}
