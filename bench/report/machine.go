// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// circumstances returns the date, the machine and the versions of the figures.
func circumstances(ctx context.Context, settings map[string]string, rounds int, load []string) []string {
	say := func(name string, arguments ...string) string {
		out, err := exec.CommandContext(ctx, name, arguments...).Output()
		first, _, _ := strings.Cut(string(out), "\n")
		if err != nil || first == "" {
			return "unknown"
		}
		return strings.TrimSpace(first)
	}
	version := func(module string) string { return say("go", "list", "-m", "-f", "{{.Version}}", module) }
	return []string{
		"Date: " + time.Now().UTC().Format(time.DateOnly) + ", commit " + say("git", "describe", "--always", "--dirty") + fmt.Sprintf(", %d rounds", rounds),
		fmt.Sprintf("Machine: %s, %d processors, %s, %s/%s, Linux %s", settings["cpu"], runtime.NumCPU(), memoryTotal(), runtime.GOOS, runtime.GOARCH, say("uname", "-r")),
		fmt.Sprintf("Versions: %s, docker %s, containerd %s, %s, %s, %s", runtime.Version(), version("github.com/docker/docker"),
			version("github.com/containerd/containerd/v2"), say("runc", "--version"), say("gzip", "--version"), say("tar", "--version")),
		"Load of the machine (average of a minute, before each group): " + strings.Join(load, ", "),
	}
}

func memoryTotal() string {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return "unknown memory"
	}
	var kilobytes float64
	if _, err := fmt.Sscanf(string(data), "MemTotal: %f kB", &kilobytes); err != nil {
		return "unknown memory"
	}
	return fmt.Sprintf("%.0f GiB", kilobytes/mebibyte)
}

// loadAverage returns the machine's load average of the last minute.
func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(data), " ")
	return first
}
