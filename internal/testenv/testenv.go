// SPDX-License-Identifier: Apache-2.0

// Package testenv holds what tests ask of the machine that they run on.
package testenv

import (
	"fmt"
	"os"
	"testing"
)

// skipsFile is the environment variable that names a file for skipped tests, one a
// line; test/skips.sh sets it. Without it a run that skipped a third of the tests
// looks like any other, because go test shows no output of packages that pass.
const skipsFile = "DOVETAIL_SKIPS"

// NeedsRoot skips a test unless it runs as root. The argument what is the reason,
// for example "mounting" or "runc".
func NeedsRoot(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, what+" needs root")
	}
}

// Skip skips a test that the machine can't run, and gives the reason in a few words
// that other tests share.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if err := Note(t.Name(), reason); err != nil {
		t.Fatalf("note a skipped test: %v", err)
	}
	t.Skip(reason)
}

// Note adds a line to the list of skipped tests, if one is kept. Tests call [Skip];
// Note is for a TestMain that skips tests by their names. Lines of tests in several
// processes do not mix, because each is one short write in append mode.
func Note(test, reason string) error {
	name := os.Getenv(skipsFile)
	if name == "" {
		return nil
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = fmt.Fprintf(file, "%s\t%s\n", reason, test)
	return err
}
