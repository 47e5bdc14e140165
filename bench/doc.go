// Package bench sets docker's plugin manager and ours side by side: the same
// work, the same inputs, one after the other in one process, and beside them
// the limit of the machine where there is one.
//
// A benchmark's name ends in whose figure it is, of=docker, of=dovetail or
// of=limit, so that benchstat -col /of compares them. Each measures one
// operation at a time on directories of its own. Command report runs them all
// in alternating rounds and writes docs/performance.md; command compare
// does so with two commits of ours.
//
// The tests run every benchmark with inputs that are small.
package bench
