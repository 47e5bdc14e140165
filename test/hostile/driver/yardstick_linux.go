// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"os"
	"path/filepath"
)

// yardstickSteps are measured together, because processor time is counted coarsely.
const yardstickSteps = 5000

// yardstick returns the processor seconds of one step on this machine at this time: a
// file is made, read as empty and removed, and a kilobyte is hashed. The time of a verb
// divided by it depends little on the machine's speed and load.
func yardstick(dir string) (seconds float64, err error) {
	spent := processorTime()
	path, block := filepath.Join(dir, "yardstick"), make([]byte, 1<<10)
	for range yardstickSteps {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return 0, err
		}
		if _, err := os.ReadFile(path); err != nil {
			return 0, err
		}
		if err := os.Remove(path); err != nil {
			return 0, err
		}
		sum := sha256.Sum256(block)
		copy(block, sum[:])
	}
	return (processorTime() - spent) / yardstickSteps, nil
}
