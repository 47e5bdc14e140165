// Package cli tells what a user of the docker command line sees. Its tests
// run the scenarios in testdata with the real docker client, plugind, runc and
// the example plugin, each in directories of its own. A scenario is a
// transcript:
//
//	# why the next step is there
//	$ a command
//	what it prints
//	[exit 1]
//
// Commands are run by a shell, one shell each, with docker and plugind on its
// path, these variables, and the functions in prelude.sh:
//
//	$WORK      the scenario's directory, and the working directory
//	$ROOT      plugind's --root
//	$EXECROOT  plugind's --exec-root
//	$SOCKET    plugind's socket
//
// Two commands are the test's own: "daemon" starts plugind with flags, or
// stops or kills it, and "drivers" tells the example plugin's processes apart
// by number, first come first. In output, what differs from run to run is
// replaced: directories by the variables, ids by <plugin id> and <digest>, times by <time>.
//
// After a change of messages, go test ./test/cli -update rewrites the
// transcripts; read the difference before you commit it.
//
// demo.sh in this directory is the same story as a program to watch.
package cli
