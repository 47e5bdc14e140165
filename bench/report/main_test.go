// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestSectionOfDaemonsIsKept(t *testing.T) {
	const section = "\n## A whole daemon\n\ntext\n"
	if got := daemons("# Performance\n\n## Finding\n" + section); got != section {
		t.Errorf("kept %q", got)
	}
	if got := daemons("# Performance\n"); got != "" {
		t.Errorf("kept %q of a page without it", got)
	}
}
