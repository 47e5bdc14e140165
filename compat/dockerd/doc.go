// SPDX-License-Identifier: Apache-2.0

// Package dockerd compares a real dockerd that is built on Dovetail with a stock
// one; the program in build makes both. Each test enters new namespaces (mount,
// pid, net, ipc and uts, with a private /run, /tmp and /etc) and runs containerd,
// runc, a registry and the daemons in them. Only the cgroups are the host's.
//
// A story in testdata is a list of commands, for a shell and for the harness:
//
//	# text         names the steps that follow
//	$ command      runs it and records its output and exit code; it must succeed
//	! command      the same; it must fail
//	% command      the same as $, but only its exit code is recorded
//	~ command      repeats it until it succeeds, and records nothing
//	@node step     does a step on a node of a swarm; @each does it on all nodes
//	daemon start [which] [flags], daemon stop, daemon kill
//
// Each daemon runs a story once, and the normalised transcripts are compared.
// accepted_test.go lists the accepted differences, with the reason. Any other
// difference fails the test, and so does a listed difference that does not occur.
package dockerd
