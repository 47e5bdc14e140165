package harness

import (
	"math/rand/v2"
	"time"

	"github.com/dovetailhq/plugin/test/crash/drive"
	"github.com/dovetailhq/plugin/test/crash/history"
)

// Crash is a driver that was ended, and what the next one found. When there is
// none, because no manager can be opened, Observed is zero.
type Crash struct {
	Ledger   *history.Ledger
	Observed drive.Observation
	// From and To are before and after it.
	From, To int64
}

// Lost returns what the crash took although it had been acknowledged, and what
// appeared although nobody had asked for it.
func (c Crash) Lost() []string { return c.Ledger.Compare(c.Observed.Plugins, c.From, c.To) }

// Violations returns the invariants that do not hold, and the verbs that were
// not answered rightly.
func (c Crash) Violations() []string {
	return append(append([]string(nil), c.Ledger.Problems...), c.Observed.Problems...)
}

// Crash starts a driver on what was found before and kills it at a random
// instant. The error is an [OpenError] when no manager can be opened after it.
func (d Driver) Crash(seed uint64, random *rand.Rand, found map[string]history.State) (Crash, error) {
	process, err := d.Start(seed, found)
	if err != nil {
		return Crash{}, err
	}
	process.AwaitInstant(random)
	ledger, err := process.Kill()
	return d.survey(ledger, err)
}

// Finish starts a driver on what was found before, lets it call so many verbs
// and shut its manager down: a day without a crash.
func (d Driver) Finish(seed uint64, verbs int, found map[string]history.State) (Crash, error) {
	d.Step = true
	process, err := d.Start(seed, found)
	if err != nil {
		return Crash{}, err
	}
	for range verbs {
		if err := process.Turn(); err != nil {
			break // it is gone: Finish tells why
		}
	}
	ledger, err := process.Finish()
	return d.survey(ledger, err)
}

// survey looks at what a driver left.
func (d Driver) survey(ledger *history.Ledger, err error) (Crash, error) {
	if err != nil {
		return Crash{}, err
	}
	c := Crash{Ledger: ledger, From: history.Always, To: history.Always}
	c.Observed, err = d.Observe()
	return c, err
}

// AwaitInstant waits for a random instant of a driver's life. Every fifth is
// early, when its manager starts.
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
