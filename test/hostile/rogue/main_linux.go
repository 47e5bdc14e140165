// SPDX-License-Identifier: Apache-2.0

// Command rogue is a plugin that abuses its directories as far as it can, and
// then listens. Its arguments are the directories.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
)

const (
	socket = "/run/docker/plugins/plugin.sock"
	depth  = 5_000
	files  = 2_000
	mounts = 20
)

func main() {
	for _, dir := range os.Args[1:] {
		if err := fill(dir); err != nil {
			fmt.Fprintln(os.Stderr, "fill", dir, err)
			os.Exit(1)
		}
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer listener.Close()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
}

// fill makes a tree that is deeper than any path can name, many files, and
// nested mounts if the plugin can mount. It fills a directory again that an
// earlier run has filled.
func fill(dir string) error {
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, "file"+strconv.Itoa(i)), nil, 0o600); err != nil {
			return err
		}
	}
	mounted := dir
	for range mounts {
		mounted = filepath.Join(mounted, "mount")
		if err := os.MkdirAll(mounted, 0o700); err != nil {
			return err
		}
		if err := syscall.Mount("none", mounted, "tmpfs", 0, ""); err != nil {
			break // not granted
		}
	}
	deep, err := os.MkdirTemp(dir, "deep")
	if err != nil {
		return err
	}
	if err := os.Chdir(deep); err != nil {
		return err
	}
	for range depth {
		if err := os.Mkdir("d", 0o700); err != nil {
			return err
		}
		if err := os.Chdir("d"); err != nil {
			return err
		}
	}
	return os.Chdir("/")
}
