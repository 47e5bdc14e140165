// SPDX-License-Identifier: Apache-2.0

// Package testseed gives random tests their seed: a new one each time, or the one
// of an earlier run that failed.
package testseed

import (
	"flag"
	"math/rand/v2"
	"testing"
)

var given = flag.Uint64("seed", 0, "the seed of random tests; 0 for a new one each time")

// Of returns the seed of a test, and logs how to use it again.
func Of(t testing.TB) uint64 {
	t.Helper()
	chosen, ok := Given()
	for !ok {
		chosen = rand.Uint64()
		ok = chosen != 0
	}
	t.Logf("repeat this with -seed=%d", chosen)
	return chosen
}

// Given returns the seed of the command line, if there is one.
func Given() (seed uint64, ok bool) { return *given, *given != 0 }
