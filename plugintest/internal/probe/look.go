// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// look prints a property of the probe's environment.
func (r *run) look(name, value string) error {
	switch name {
	case "cat":
		return r.cat(value)
	case "status":
		return r.status(value)
	case "try":
		return r.say(value, r.try(value))
	default:
		return r.say("unshare", unshareNothing())
	}
}

func (r *run) cat(value string) error {
	content, err := os.ReadFile(filepath.Join(r.Root, value))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.Stdout, strings.TrimRight(string(content), "\n"))
	return err
}

func (r *run) status(field string) error {
	content, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			_, err := fmt.Fprintf(r.Stdout, "%s: %s\n", field, strings.TrimSpace(value))
			return err
		}
	}
	return fmt.Errorf("the kernel's status has no field %q", field)
}

func (r *run) try(value string) error {
	return os.WriteFile(filepath.Join(r.Root, value), nil, 0o600)
}

// say prints the result of an attempt: ok, or the kernel's error.
func (r *run) say(what string, outcome error) error {
	reason := "ok"
	if outcome != nil {
		reason = outcome.Error()
	}
	var errno syscall.Errno
	if errors.As(outcome, &errno) {
		reason = errno.Error()
	}
	_, err := fmt.Fprintf(r.Stdout, "%s: %s\n", what, reason)
	return err
}
