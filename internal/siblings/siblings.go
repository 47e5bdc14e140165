// SPDX-License-Identifier: Apache-2.0

// Package siblings keeps the living objects of one kind in a process, such as its
// managers, so that each can find the others.
package siblings

import (
	"slices"
	"sync"
)

// Group is a set of siblings. The zero value is empty. It is safe for
// concurrent use.
type Group[T comparable] struct {
	mu      sync.Mutex
	members []T
}

// Join adds self.
func (g *Group[T]) Join(self T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members = append(g.members, self)
}

// Part removes self. Without it nothing changes.
func (g *Group[T]) Part(self T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members = slices.DeleteFunc(g.members, func(member T) bool { return member == self })
}

// Others returns the siblings of self. The caller can ask them with no lock
// held.
func (g *Group[T]) Others(self T) []T {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.members), func(member T) bool { return member == self })
}
