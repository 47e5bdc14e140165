// SPDX-License-Identifier: Apache-2.0

// Package bench measures docker's plugin manager and ours: the same work and
// the same inputs, one after the other in one process. Where there is one, it
// also measures the limit of the machine.
//
// A benchmark's name ends in its subject, of=docker, of=dovetail or of=limit,
// for comparison by benchstat -col /of. Each benchmark measures one operation
// at a time in separate directories. Command report runs all of them in
// alternating rounds and writes docs/performance.md. Command compare runs them
// with two commits of ours.
//
// The tests run every benchmark of our manager with small inputs.
package bench
