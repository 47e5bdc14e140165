// SPDX-License-Identifier: Apache-2.0

// Package cli tests what a user of the docker command line sees. Its tests run
// the scenarios in testdata with the real docker client, plugind, runc and the
// example plugin, each in separate directories. A scenario is a transcript:
//
//	# why the next step is there
//	$ a command
//	its output
//	[exit 1]
//
// A shell runs each command, with docker and plugind on its path, these
// variables, and the functions in prelude.sh:
//
//	$WORK      the scenario's directory, and the working directory
//	$ROOT      plugind's --root
//	$EXECROOT  plugind's --exec-root
//	$SOCKET    plugind's socket
//	$SSHFS     the build context of examples/sshfs
//
// The test implements two commands: "daemon" starts plugind with flags, or
// stops or kills it. "drivers" numbers the example plugin's processes in the
// order in which they appear. Output that differs from run to run is replaced:
// directories by the variables, IDs by <plugin id> and <digest>, times by
// <time>.
//
// After a change of messages, go test ./test/cli -update rewrites the
// transcripts. Read the difference before you commit it.
//
// demo.sh in this directory is the same story as a program to watch.
package cli
