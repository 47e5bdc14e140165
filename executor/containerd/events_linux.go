// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"fmt"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"

	"github.com/dovetailhq/plugin/internal/logging"
)

// follow is the goroutine that follows containerd's events. They report OOM kills,
// and ends of runs in case that a Wait call fails. Events between two streams are
// lost, so nothing relies on events alone.
func (e *Executor) follow(ns string) {
	defer close(e.followed)
	filters := []string{
		fmt.Sprintf("namespace==%q,topic==%q", ns, "/tasks/exit"),
		fmt.Sprintf("namespace==%q,topic==%q", ns, "/tasks/oom"),
	}
	for backoff := newBackoff(); ; {
		err := e.receive(filters, &backoff)
		if e.ctx.Err() != nil {
			return
		}
		logging.L().WithError(err).Debug("event stream of containerd ended; subscribing again")
		if !e.reconnect(e.ctx, &backoff) {
			return
		}
	}
}

// receive follows one stream of events to its end.
func (e *Executor) receive(filters []string, backoff *backoff) error {
	ctx, cancel := context.WithCancel(e.ctx)
	stream, failures := e.client.Subscribe(ctx, filters...)
	defer func() {
		cancel()
		for range failures { // closed when the stream's goroutine has ended
		}
	}()
	e.recheckAll()
	for {
		select {
		case envelope := <-stream:
			backoff.reset()
			e.handle(envelope)
		case err := <-failures:
			return err
		}
	}
}

// recheckAll checks every run, because events of its end may be lost.
func (e *Executor) recheckAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.runs {
		r.recheck()
	}
}

func (e *Executor) handle(envelope *events.Envelope) {
	event, err := typeurl.UnmarshalAny(envelope.Event)
	if err != nil {
		logging.L().WithError(err).Warn("event of containerd can't be decoded")
		return
	}
	switch event := event.(type) {
	case *apievents.TaskExit:
		// An ID other than the container's is that of an executed process.
		if r := e.run(event.ContainerID); r != nil && event.ID == event.ContainerID {
			r.recheck()
		}
	case *apievents.TaskOOM:
		if r := e.run(event.ContainerID); r != nil {
			offer(r.oom)
		}
	}
}
