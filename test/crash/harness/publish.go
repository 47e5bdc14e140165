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
	"time"
)

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
	page, err := pageOf(all)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "durability.md"), []byte(page), 0o644)
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
