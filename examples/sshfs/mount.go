// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mountLocked mounts a remote directory. sshfs returns when it is mounted, and goes on
// in the background.
func (d *driver) mountLocked(r remote, target string) error {
	options := []string{
		"IdentityFile=" + filepath.Join(d.root, "key"),
		"UserKnownHostsFile=" + filepath.Join(d.root, "known_hosts"),
		"StrictHostKeyChecking=accept-new", // of each machine the first key
		"BatchMode=yes",
		"ConnectTimeout=10", // seconds; docker waits longer for a plugin's answer
		"LogLevel=ERROR",
		"ServerAliveInterval=15",
		"reconnect",
		"allow_other", // containers can have other users than root
		"port=" + r.Port,
		"sshfs_verbose", // ssh says why it failed
	}
	return command("sshfs", "-o", strings.Join(options, ","), r.Command, target)
}

// unmountLocked unmounts a directory, which ends its sshfs.
func (d *driver) unmountLocked(target string) error {
	if err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW); err != nil {
		return os.NewSyscallError("unmount", err)
	}
	reap()
	return nil
}

// command runs a program to its end. Its error has what the program wrote. No two
// commands run at the same time.
func command(name string, args ...string) error {
	defer reap()
	// A file, because what the program leaves in the background would keep a pipe open.
	output, err := os.CreateTemp("", "output")
	if err != nil {
		return err
	}
	defer output.Close()
	defer os.Remove(output.Name())
	run := exec.Command(name, args...)
	run.Stdout, run.Stderr = output, output
	if err := run.Run(); err != nil {
		written, _ := os.ReadFile(output.Name())              // the error of the program counts
		text := strings.ReplaceAll(string(written), "\r", "") // ssh writes lines for a terminal
		return fmt.Errorf("%s: %w: %s", name, err, strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
	}
	return nil
}

// reap takes the exit codes of processes that ended in the background, which are this
// process's children because it is process 1. No command may be running: reap would
// take its exit code as well.
func reap() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}
