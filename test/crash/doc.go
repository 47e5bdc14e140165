// SPDX-License-Identifier: Apache-2.0

// Package crash is the SIGKILL harness. A driver calls random verbs on a real
// manager and is killed at random instants. The harness compares the state that
// the next process finds with the results that the driver got, and checks every
// invariant of the root directory. The results are in docs/durability.md.
package crash
