// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"math/rand/v2"
	"time"

	"github.com/dovetailhq/plugin/test/crash/drive"
	"github.com/dovetailhq/plugin/test/crash/history"
)

// Crash is the end of a driver, with the observation after it. Observed is zero
// if no manager can be opened.
type Crash struct {
	Ledger   *history.Ledger
	Observed drive.Observation
	// From and To are instants before and after the end.
	From, To int64
}

// Lost returns acknowledged effects that are missing, and effects that no verb
// asked for.
func (c Crash) Lost() []string { return c.Ledger.Compare(c.Observed.Plugins, c.From, c.To) }

// Violations returns violated invariants and wrong results of verbs.
func (c Crash) Violations() []string {
	return append(append([]string(nil), c.Ledger.Problems...), c.Observed.Problems...)
}

// Crash starts a driver on an earlier observation and kills it at a random
// instant. The error is an [OpenError] if no manager can be opened after it.
func (d Driver) Crash(seed uint64, random *rand.Rand, found map[string]history.State) (Crash, error) {
	process, err := d.Start(seed, found)
	if err != nil {
		return Crash{}, err
	}
	process.AwaitInstant(random)
	ledger, err := process.Kill()
	return d.survey(ledger, err)
}

// Finish starts a driver on an earlier observation. The driver calls the given
// number of verbs and shuts its manager down.
func (d Driver) Finish(seed uint64, verbs int, found map[string]history.State) (Crash, error) {
	d.Step = true
	process, err := d.Start(seed, found)
	if err != nil {
		return Crash{}, err
	}
	for range verbs {
		if err := process.Turn(); err != nil {
			break // the driver is gone; Finish returns the error
		}
	}
	ledger, err := process.Finish()
	return d.survey(ledger, err)
}

// survey observes the directories after the end of a driver.
func (d Driver) survey(ledger *history.Ledger, err error) (Crash, error) {
	if err != nil {
		return Crash{}, err
	}
	c := Crash{Ledger: ledger, From: history.Always, To: history.Always}
	c.Observed, err = d.Observe()
	return c, err
}

// AwaitInstant waits for a random instant in a driver's life. Every fifth
// instant is early, when the manager starts.
func (p *Process) AwaitInstant(random *rand.Rand) {
	const early, late, events = 30 * time.Millisecond, 5 * time.Millisecond, 80
	within := early
	if random.IntN(5) > 0 {
		p.Await(1 + random.IntN(events))
		within = late
	}
	instant := time.NewTimer(time.Duration(random.Int64N(int64(within))))
	defer instant.Stop()
	select {
	case <-instant.C:
	case <-p.Ended():
	}
}
