// SPDX-License-Identifier: Apache-2.0

package logging

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/dovetailhq/plugin/internal/bounded"
)

// patience bounds, with [bounded.Grace], how long a caller waits for the log. A log
// blocks when the reader of its pipe or its terminal pauses.
const patience = 4 * time.Second

var (
	// waiting counts the lines that the log has not taken within patience.
	waiting atomic.Int64
	// lost counts the lines that were dropped since.
	lost atomic.Int64
)

// write writes a line. While the log does not take an earlier line, the line is
// dropped and counted.
func (e Entry) write(level Level, line string) {
	if waiting.Load() > 0 {
		lost.Add(1)
		return
	}
	call := bounded.Go(func() (struct{}, error) {
		e.entry.Log(level, line)
		return struct{}{}, nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, returned, _ := call.Await(ctx); returned {
		return
	}
	waiting.Add(1)
	go func() {
		<-call.Done()
		e.reportLost()
		waiting.Add(-1)
	}()
}

// reportLost logs how many lines were lost. It returns when the log has taken that.
func (e Entry) reportLost() {
	for n := lost.Swap(0); n > 0; n = lost.Swap(0) {
		e.entry.Logger.Warn(fmt.Sprintf("lines lost because the log took none: %d", n))
	}
}
