// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
	"gotest.tools/v3/golden"
)

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	first := Figures{Harness: "SIGKILL", Subject: "Dovetail", FileSystem: "ext4", Crashes: 1, Operations: 5}
	assert.NilError(t, Publish(dir, first))
	assert.NilError(t, Publish(dir, Figures{Harness: "power cut", Subject: "Dovetail", FileSystem: "xfs", Sabotage: "sync of records", Crashes: 2, Lost: 1}))
	first.Crashes = 1000
	assert.NilError(t, Publish(dir, first))
	page, err := os.ReadFile(filepath.Join(dir, "durability.md"))
	assert.NilError(t, err)
	assert.Equal(t, strings.Count(string(page), "| SIGKILL | Dovetail | ext4 | 1000 | 5 | 0 | 0 | 0 | "), 1)
	assert.Equal(t, strings.Count(string(page), "| SIGKILL |"), 1, "the older figures were not replaced")
	assert.Equal(t, strings.Count(string(page), "| power cut | xfs | sync of records | 2 | 1 | 0 | "), 1)
	assert.Equal(t, strings.Count(string(page), "| power cut |"), 1)

	assert.Check(t, !strings.Contains(string(page), "## Compared with"), "no peer to compare with")

	assert.NilError(t, Publish("", first))
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "durability.json"), []byte("{"), 0o600))
	assert.ErrorContains(t, Publish(dir, first), "durability.json")
}

func TestPageWithAPeer(t *testing.T) {
	page, err := pageOf([]Figures{
		{Harness: Killed, Subject: Dovetails, Crashes: 9},
		{Harness: Killed, Subject: "a peer", Crashes: 10, Unopened: 3, Kinds: map[string]int{"records lost": 7}},
		{Harness: Orderly, Subject: "a peer", Crashes: 10, Kinds: map[string]int{"records lost": 1, "litter": 2}},
	})
	assert.NilError(t, err)
	for _, line := range []string{
		"| SIGKILL | a peer |  | 10 | 0 | 0 | 0 | 3 | ",
		"## Compared with a peer\n",
		"| litter | 0 | 2 |\n| records lost | 7 | 1 |\n",
	} {
		assert.Check(t, is.Contains(page, line))
	}
}

// TestPublishedPageIsOfItsFigures generates the page again and compares. With
// -update it writes the page, for a change of words without new figures.
func TestPublishedPageIsOfItsFigures(t *testing.T) {
	docs, err := filepath.Abs("../../../docs")
	assert.NilError(t, err)
	all, err := readFigures(filepath.Join(docs, "durability.json"))
	assert.NilError(t, err)
	page, err := pageOf(all)
	assert.NilError(t, err)
	golden.Assert(t, page, filepath.Join(docs, "durability.md"))
}
