//go:build linux

package main

import "sync"

// maxLists is how many lists of volumes are made at the same time. One can take
// some 150 MB: plugins may know 100,000 volumes. With two, a plugin that hangs
// leaves room for a list of another filter.
const maxLists = 2

// lists makes lists of volumes, a few at a time and one of each filter. Requests
// that wait for the same filter share a list, which begins after each of them.
// It is safe for concurrent use.
type lists[T any] struct {
	places chan struct{} // has room for each list that is being made

	mu      sync.Mutex
	waiting map[string]*listing[T] // by filter; they have not begun
	last    map[string]*listing[T] // by filter; they have not ended
}

// listing is one list.
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

// get returns what list does, called here or by another request for filter.
// The result is shared. It waits for lists in progress, however long they take.
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

// join returns the list that the caller shares, and the same one again if it
// is made elsewhere, or else the one that ends before it, if any.
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

// begin lets later requests have another list: this one could lack what they
// made before.
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
