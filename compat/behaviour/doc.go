// SPDX-License-Identifier: Apache-2.0

// Package behaviour plays the same scenarios with docker's plugin manager and
// ours, and reports where they differ.
//
// A [Scenario] is a list of steps against a fresh manager on a fake executor.
// [Play] plays it with one subject. After each step it records what can be seen
// from outside: the class and text of an error, the events that subscribers
// get, the actions that the daemon's log gets, and the specs that the executor
// gets. [Compare] compares two such recordings.
//
// A [Difference] of the table [Accepted] must explain each deviation. The table
// is also docs/differences.md. The test fails on an unexplained deviation, and
// on an explanation that explains none.
//
// Docker's manager has data races. Under the race detector only our manager is
// played, and nothing is compared.
package behaviour
