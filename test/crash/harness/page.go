package harness

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
)

// page is what durability.md says.
type page struct {
	Crashes    []Figures
	Sabotages  []Figures
	Peer       string // whom Dovetail is compared with; empty for nobody
	Violations []violation
}

// violation is one kind of them, and how often it was found in the peer.
type violation struct {
	Kind            string
	Killed, Orderly int
}

func pageOf(all []Figures) (string, error) {
	var p page
	kinds := map[string]violation{}
	for _, figures := range all {
		if figures.Sabotage != "" {
			p.Sabotages = append(p.Sabotages, figures)
			continue
		}
		p.Crashes = append(p.Crashes, figures)
		if figures.Subject != Dovetails {
			p.Peer = figures.Subject
		}
		for kind, count := range figures.Kinds {
			sum := kinds[kind]
			sum.Kind = kind
			if figures.Harness == Orderly {
				sum.Orderly += count
			} else {
				sum.Killed += count
			}
			kinds[kind] = sum
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		p.Violations = append(p.Violations, kinds[kind])
	}
	var text strings.Builder
	if err := pageTemplate.Execute(&text, p); err != nil {
		return "", fmt.Errorf("make durability.md: %w", err)
	}
	return text.String(), nil
}

var pageTemplate = template.Must(template.New("durability").Parse(`# Durability, by experiment

This page is written by the harnesses: ` + "`make crash N=…` and `make powercut N=…`" + `. Don't edit it.

## Crashes
A driver calls random verbs (create, pull, upgrade, enable, disable, set, remove, also by force and also wrongly, garbage collection and
prune) on a real manager with a registry in the same process and a fake executor, three at a time, and notes each verb before it is called
and after it returned.

- **SIGKILL**: the driver is killed at a random instant, the start of the manager included, and the next one goes on where it was.
- **Power cut**: the driver works on a file system on a loop device. At random instants a reflink copy is taken of the device's backing file,
  which holds what had been written to the device by then and nothing of what the kernel still kept in memory. The copy is mounted.

Then a new manager is opened by another process. *Lost* counts plugins that are not as the last acknowledged verb left them, nor as a verb
that had begun would. *Violations* are what ` + "`plugintest.CheckRoot`" + ` finds: every blob is read and hashed, every rootfs is compared with its
layers, memory with disk, and nothing may be left over; and answers that were not right. *Not opened* counts after how many ends no manager
could be opened any more.

| end | manager | file system | ends | acknowledged | lost | violations | not opened | date | commit |
|---|---|---|--:|--:|--:|--:|--:|---|---|
{{range .Crashes}}| {{.Harness}} | {{.Subject}} | {{.FileSystem}} | {{.Crashes}} | {{.Operations}} | {{.Lost}} | {{.Violations}} | {{.Unopened}} | {{.Date}} | {{.Commit}} |
{{end}}
What a reflink copy does not show is a disk that loses or reorders writes in a volatile cache of its own although it was told to flush.
{{if .Peer}}
## Beside {{.Peer}}
The same driver and kills, and the same verbs, but for prune, which it does not have. What differs is in its favour:

- Its plugins share no mounts, because removing one that does may rename a directory of the host. They have one layer, because it may
  unpack several in another order than the manifest's.
- Its answers are not judged, and a verb that it answers with an error is neither acknowledged nor lost: it refuses to create what has the
  content of something that is there, and several of its errors have no class.
- What its records say about blobs is not held against it: it notes no layers when it pulls and the old config when it upgrades, and
  collects manifests. Neither is what it began to fetch, nor what it has in memory.

Checked is whether it opens, whether each plugin is as acknowledged and has exactly the files of its version, whether records can be read
and names are unique, whether blobs have the right bytes, and whether anything else is left over.

To tell what a kill does from what happens anyway the same was done with **orderly ends**: the driver calls verbs, waits for each answer, and
shuts the manager down. Each violation is counted once, and once a plugin; what is left over is counted only if it is still there after one
more start. A verb that was cut off and leaves something half done counts, too: what was acknowledged is what *lost* is about.

| what is wrong | SIGKILL | orderly end |
|---|--:|--:|
{{range .Violations}}| {{.Kind}} | {{.Killed}} | {{.Orderly}} |
{{end}}{{end}}
## The harness can fail
The same with one sync left out on purpose: the harness has to notice.

| end | file system | left out | ends | lost | violations | date | commit |
|---|---|---|--:|--:|--:|---|---|
{{range .Sabotages}}| {{.Harness}} | {{.FileSystem}} | {{.Sabotage}} | {{.Crashes}} | {{.Lost}} | {{.Violations}} | {{.Date}} | {{.Commit}} |
{{end}}`))
