package harness

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

// Figures is what a harness found out. Those of one harness, subject, file
// system and sabotage replace earlier ones.
type Figures struct {
	Harness    string // SIGKILL or power cut
	Subject    string
	FileSystem string
	// Sabotage is the sync that was left out on purpose; empty for none.
	Sabotage string `json:",omitempty"`

	Crashes    int
	Operations int // acknowledged with success
	Lost       int // acknowledged, and not there after the crash; or there, and never asked for
	Violations int // of invariants, as CheckRoot finds them
	Date       string
	Commit     string
}

func (f Figures) key() string {
	return strings.Join([]string{f.Harness, f.Subject, f.FileSystem, f.Sabotage}, "\x00")
}

// Publish puts figures, with the date and the commit, into durability.json in
// dir, and makes durability.md of all that is there. An empty dir publishes
// nothing.
func Publish(dir string, figures Figures) error {
	if dir == "" {
		return nil
	}
	figures.Date = time.Now().UTC().Format(time.DateOnly)
	figures.Commit = commit()
	data := filepath.Join(dir, "durability.json")
	all, err := readFigures(data)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(other Figures) bool { return other.key() == figures.key() })
	all = append(all, figures)
	slices.SortFunc(all, func(a, b Figures) int { return cmp.Compare(a.key(), b.key()) })
	encoded, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(data, append(encoded, '\n'), 0o644); err != nil {
		return err
	}
	var page strings.Builder
	if err := pageTemplate.Execute(&page, all); err != nil {
		return fmt.Errorf("make durability.md: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "durability.md"), []byte(page.String()), 0o644)
}

func readFigures(path string) ([]Figures, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Figures
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return all, nil
}

// commit names what was tested. What is published does not count as a change,
// for several harnesses publish one after the other.
func commit() string {
	output, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(output))
	if exec.Command("git", "diff", "--quiet", "HEAD", "--", ":(top)", ":(top,exclude)docs").Run() != nil {
		name += "-dirty"
	}
	return name
}

var pageTemplate = template.Must(template.New("durability").Parse(`# Durability, by experiment

This page is written by the harnesses: ` + "`make crash N=…` and `make powercut N=…`" + `. Don't edit it.

## Crashes
A driver calls random verbs (create, pull, upgrade, enable, disable, set, remove, also by force and also wrongly, and garbage collection)
on a real manager with a registry in the same process and a fake executor, three at a time, and notes each verb before it is called and
after it returned.

- **SIGKILL**: the driver is killed at a random instant, the start of the manager included, and the next one goes on where it was.
- **Power cut**: the driver works on a file system on a loop device. At random instants a reflink copy is taken of the device's backing file,
  which holds what had been written to the device by then and nothing of what the kernel still kept in memory. The copy is mounted.

Then a new manager is opened by another process. *Lost* counts plugins that are not as the last acknowledged verb left them, nor as a verb
that had begun would. *Violations* are what ` + "`plugintest.CheckRoot`" + ` finds: every blob is read and hashed, every rootfs is compared with its
layers, memory with disk, and nothing may be left over.

| harness | subject | file system | crashes | acknowledged | lost | violations | date | commit |
|---|---|---|--:|--:|--:|--:|---|---|
{{range .}}{{if not .Sabotage}}| {{.Harness}} | {{.Subject}} | {{.FileSystem}} | {{.Crashes}} | {{.Operations}} | {{.Lost}} | {{.Violations}} | {{.Date}} | {{.Commit}} |
{{end}}{{end}}
What a reflink copy does not show is a disk that loses or reorders writes in a volatile cache of its own although it was told to flush.

## The harness can fail
The same with one sync left out on purpose: the harness has to notice.

| harness | file system | left out | crashes | lost | violations | date | commit |
|---|---|---|--:|--:|--:|---|---|
{{range .}}{{if .Sabotage}}| {{.Harness}} | {{.FileSystem}} | {{.Sabotage}} | {{.Crashes}} | {{.Lost}} | {{.Violations}} | {{.Date}} | {{.Commit}} |
{{end}}{{end}}`))
