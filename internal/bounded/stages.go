// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Stages are the steps of a shutdown, one after the other under one deadline. Get
// them from [Finish].
type Stages struct {
	ctx context.Context

	mu       sync.Mutex
	current  string // "" between stages
	last     string
	problems []error
}

// Finish calls stages, and returns when it has returned or when limit has passed,
// whatever hangs. The error lists the stages that failed and those that are left.
// Stages that Finish could not wait for continue. limit is longer than [Grace].
func Finish(limit time.Duration, stages func(*Stages)) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit-Grace, ErrLeft)
	defer cancel() // not before Await has returned: its call would seem to be left
	s := &Stages{ctx: ctx}
	_, _, err := Go(func() (struct{}, error) {
		stages(s)
		return struct{}{}, nil
	}).Await(ctx)
	return s.outcome(err)
}

// outcome returns the problems so far and, if err is not nil, the stage that did
// not end.
func (s *Stages) outcome(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("%s: %w", cmp.Or(s.current, "after "+s.last), err)
	}
	return errors.Join(append(s.problems, err)...)
}

// Do begins a stage, and returns when it has ended or when limit and [Grace] have
// passed, or earlier if the deadline of all stages is near. A stage that is left
// does not prevent later stages.
func (s *Stages) Do(limit time.Duration, name string, call func(context.Context) error) {
	s.mu.Lock()
	s.current = name
	s.mu.Unlock()
	err := Step(s.ctx, limit, name, call)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.last = "", name
	s.problems = append(s.problems, err)
}
