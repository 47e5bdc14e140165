// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/spf13/cobra"

	"github.com/dovetailhq/plugin/internal/build"
	"github.com/dovetailhq/plugin/internal/watch"
)

// devOptions has the values of the flags of plugind dev.
type devOptions struct {
	host     string
	name     string
	runtime  string
	logLevel string
	settings []string
}

const devHelp = `Run a plugin from files, and again after each change of the files.

DIR is a directory that plugind build takes: config.json with rootfs/, or with a
Go main package.

The plugin runs below a private root in a temporary directory. Its output goes to
stdout, and what becomes of it to stderr. A change builds the plugin, upgrades it
and enables it; settings and data are kept. After an error, such as one of the
compiler, the next change is awaited.

The docker command line reaches the plugin at --host. Ctrl-C ends and removes
everything. A second Ctrl-C ends plugind at once, and leaves the plugin and the
temporary directory.`

func newDevCommand() *cobra.Command {
	var o devOptions
	command := &cobra.Command{
		Use:   "dev [OPTIONS] DIR",
		Short: "Run a plugin from files, and again after each change",
		Long:  devHelp,
		Args:  cobra.ExactArgs(1),

		DisableFlagsInUseLine: true,
		RunE: func(command *cobra.Command, directories []string) error {
			return runDev(command.Context(), o, directories[0], command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	flags := command.Flags()
	flags.StringVarP(&o.host, "host", "H", "", "socket that serves the API (default: one in the temporary directory)")
	flags.StringVar(&o.name, "name", "dev", "name of the plugin")
	flags.StringVar(&o.runtime, "runtime", "runc", "OCI runtime, by name or path")
	flags.StringArrayVar(&o.settings, "set", nil, "setting of the plugin, as for docker plugin set (repeatable)")
	flags.StringVarP(&o.logLevel, "log-level", "l", "fatal", "level of the daemon's own log: debug, info, warn, error or fatal")
	return command
}

// devStopTimeout is how long a plugin can take to obey SIGTERM. Authors wait for it.
const devStopTimeout = time.Second

// runDev runs the plugin of a directory until ctx ends.
func runDev(ctx context.Context, o devOptions, directory string, out, problems io.Writer) (err error) {
	source := build.Source{Path: directory}
	tree, err := watchSource(source)
	if err != nil {
		return err
	}
	defer tree.Close()
	temporary, err := makeTemporary()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeUnmounted(temporary)) }()
	daemon, err := o.start(ctx, temporary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, daemon.close()) }()
	fmt.Fprintf(problems, "docker --host %s reaches the plugin %s\n", daemon.options.host, o.name)
	s := &session{manager: daemon.manager, options: o, source: source, scratch: temporary, out: out, problems: problems}
	return s.run(ctx, tree, daemon.serve)
}

// start starts a daemon with a root in a directory.
func (o devOptions) start(ctx context.Context, directory string) (*daemon, error) {
	all := options{
		root:        filepath.Join(directory, "root"),
		execRoot:    filepath.Join(directory, "run"),
		host:        o.host,
		runtime:     o.runtime,
		logLevel:    o.logLevel,
		stopTimeout: devStopTimeout,
	}
	if all.host == "" {
		all.host = "unix://" + filepath.Join(directory, "plugind.sock")
	}
	if err := errors.Join(all.validate(), all.setUpLog()); err != nil {
		return nil, err
	}
	return newDaemon(ctx, all)
}

// watchSource watches the files of a source. Of a Go module it leaves out directories
// that have no packages.
func watchSource(source build.Source) (*watch.Tree, error) {
	directory, isGo := source.Tree()
	if !isGo {
		return watch.Open(directory, watch.Options{})
	}
	return watch.Open(directory, watch.Options{Skip: func(name string) bool {
		return strings.HasPrefix(name, ".") || name == "node_modules"
	}})
}

// makeTemporary returns a new directory by the path without links, as mountinfo(5) has it.
func makeTemporary() (string, error) {
	directory, err := os.MkdirTemp("", "plugind-dev-")
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(directory)
}

// removeUnmounted deletes a directory unless something is mounted in it: that can be
// files of others, such as a remote file system that a plugin has mounted.
func removeUnmounted(directory string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(directory))
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("remove %s: %s is still mounted: unmount it, and remove the directory", directory, mounts[0].Mountpoint)
	}
	return os.RemoveAll(directory)
}
