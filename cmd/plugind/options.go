// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/dirlock"
	"github.com/dovetailhq/plugin/internal/logging"
	"github.com/dovetailhq/plugin/internal/socketpath"
)

// options has the values of plugind's flags.
type options struct {
	root               string
	execRoot           string
	host               string
	group              string
	runtime            string
	containerd         string
	liveRestore        bool
	insecureRegistries []string
	logLevel           string
	hardening          plugin.Hardening

	// stopTimeout is that of the manager.
	stopTimeout time.Duration
	// executor replaces the executor of the flags in tests.
	executor plugin.ExecutorCreator
}

// defaultHost is the default of --host.
const defaultHost = "unix:///run/plugind.sock"

func newCommand() *cobra.Command {
	var o options
	command := &cobra.Command{
		Use:                   "plugind [OPTIONS]",
		DisableFlagsInUseLine: true,
		Short:                 "A daemon for docker plugins and their volumes",
		Version:               version(),
		Args:                  cobra.NoArgs,
		SilenceUsage:          true,
		SilenceErrors:         true, // main prints them
		RunE: func(command *cobra.Command, _ []string) error {
			return run(command.Context(), o)
		},
	}
	command.AddCommand(newBuildCommand(), newDevCommand(), newImportCommand(), newInitCommand())
	flags := command.Flags()
	flags.StringVar(&o.root, "root", "/var/lib/plugind", "directory for persistent data")
	flags.StringVar(&o.execRoot, "exec-root", "/run/plugind", "directory for sockets and runtime state")
	flags.StringVarP(&o.host, "host", "H", defaultHost, "socket that serves the API")
	flags.StringVarP(&o.group, "group", "G", "", "group that can use the socket, by name or number (default plugind's own)")
	flags.StringVar(&o.runtime, "runtime", "runc", "OCI runtime, by name or path")
	flags.StringVar(&o.containerd, "containerd", "", "run plugins with the containerd at this address")
	flags.BoolVar(&o.liveRestore, "live-restore", false, "leave plugins running when plugind ends")
	flags.StringArrayVar(&o.insecureRegistries, "insecure-registry", nil, "registry to reach without verified TLS (repeatable)")
	hardeningFlags(flags, &o.hardening)
	flags.StringVarP(&o.logLevel, "log-level", "l", "info", "log level: debug, info, warn, error or fatal")
	return command
}

// validate returns all problems of o.
func (o options) validate() error {
	var problems []error
	for _, directory := range []struct{ flag, value string }{{"--root", o.root}, {"--exec-root", o.execRoot}} {
		if !filepath.IsAbs(directory.value) {
			problems = append(problems, fmt.Errorf("%s %q: use an absolute path", directory.flag, directory.value))
		}
	}
	if _, err := o.socket(); err != nil {
		problems = append(problems, err)
	}
	if _, err := o.groupID(); err != nil {
		problems = append(problems, err)
	}
	if o.runtime == "" {
		problems = append(problems, errors.New("--runtime is empty: use a name such as runc, or a path"))
	}
	return errors.Join(append(problems, validateHardening(o.hardening))...)
}

// socket returns the path of the unix socket in --host.
func (o options) socket() (string, error) {
	path, ok := strings.CutPrefix(o.host, "unix://")
	if !ok || !filepath.IsAbs(path) {
		return "", fmt.Errorf("--host %q: use a socket such as unix:///run/plugind.sock", o.host)
	}
	if len(path) > socketpath.Max {
		return "", fmt.Errorf("--host %q: the path has %d bytes, a socket's path at most %d", o.host, len(path), socketpath.Max)
	}
	return path, nil
}

// lockExecRoot locks --exec-root against other pluginds until the file is
// closed. The names below it are the same for every plugind, so that two would
// delete each other's files.
func (o options) lockExecRoot() (*os.File, error) {
	if err := os.MkdirAll(o.execRoot, 0o700); err != nil {
		return nil, fmt.Errorf("make exec root: %w", err)
	}
	file, err := dirlock.Lock(o.execRoot)
	if errors.Is(err, dirlock.ErrLocked) {
		return nil, fmt.Errorf("--exec-root %s is used by another plugind: %w", o.execRoot, errInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("lock exec root: %w", err)
	}
	return file, nil
}

var errInUse = errors.New("stop it or choose another directory")

func (o options) setUpLog() error {
	logging.MakePatient()
	logging.MakePlain()
	if err := logging.SetLevel(o.logLevel); err != nil {
		return fmt.Errorf("--log-level %q: use debug, info, warn, error or fatal", o.logLevel)
	}
	return nil
}
