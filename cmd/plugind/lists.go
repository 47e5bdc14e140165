// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import "sync"

// maxLists bounds how many lists of volumes are made at the same time, because
// each plugin can answer with 8 MiB and 32,768 volumes. With two places, a plugin
// that hangs leaves a place for a list with another filter.
const maxLists = 2

// lists makes lists of volumes, a few at a time and one for each filter.
// Requests that wait with the same filter share a list that begins after all of
// them. A lists is safe for concurrent use.
type lists[T any] struct {
	places chan struct{} // one item for each list in progress

	mu      sync.Mutex
	waiting map[string]*listing[T] // by filter: lists that have not begun
	last    map[string]*listing[T] // by filter: the newest list that has not ended
}

// listing is one list, in progress or ended.
type listing[T any] struct {
	ended  chan struct{}
	result T
	err    error
}

func newLists[T any]() *lists[T] {
	return &lists[T]{
		places:  make(chan struct{}, maxLists),
		waiting: make(map[string]*listing[T]),
		last:    make(map[string]*listing[T]),
	}
}

// get returns the result of list, called here or for another request with
// filter. Callers share the result. get waits for lists in progress, however
// long they take.
func (l *lists[T]) get(filter string, list func() (T, error)) (T, error) {
	one, previous := l.join(filter)
	if one == previous {
		<-one.ended
		return one.result, one.err
	}
	if previous != nil {
		<-previous.ended
	}
	l.places <- struct{}{}
	l.begin(filter)
	one.result, one.err = list()
	l.end(filter, one)
	<-l.places
	return one.result, one.err
}

// join returns the list that the caller gets. previous is the same list if
// another request makes it, and otherwise the list that must end first, or nil.
func (l *lists[T]) join(filter string) (one, previous *listing[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one := l.waiting[filter]; one != nil {
		return one, one
	}
	one, previous = &listing[T]{ended: make(chan struct{})}, l.last[filter]
	l.waiting[filter], l.last[filter] = one, one
	return one, previous
}

// begin makes later requests start another list: this one can lack what they
// did before.
func (l *lists[T]) begin(filter string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, filter)
}

func (l *lists[T]) end(filter string, one *listing[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last[filter] == one {
		delete(l.last, filter)
	}
	close(one.ended)
}
