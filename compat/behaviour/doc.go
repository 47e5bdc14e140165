// Package behaviour makes docker's plugin manager and ours do the same, and
// tells where they differ.
//
// A [Scenario] is a list of steps against a fresh manager on a fake executor.
// [Play] plays it with one subject and notes what can be seen from outside
// after each step: the class and the text of an error, the events that
// subscribers get, the actions that the daemon's log gets, and what the
// executor is asked to run. [Compare] sets two such recordings side by side.
//
// Each difference has to be explained by a [Difference] of the table
// [Accepted], which is also docs/differences.md; an unexplained one fails the
// test, and so does an explanation of nothing.
//
// Docker's manager has data races of its own. Under the race detector only ours
// is played, and nothing is compared.
package behaviour
