//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/dirlock"
	"github.com/dovetailhq/plugin/internal/logging"
)

// options is what plugind is told on its command line.
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

	// executor stands in for the one that the flags ask for, in tests.
	executor plugin.ExecutorCreator
}

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
	flags := command.Flags()
	flags.StringVar(&o.root, "root", "/var/lib/plugind", "directory of persistent data")
	flags.StringVar(&o.execRoot, "exec-root", "/run/plugind", "directory of sockets and runtime state")
	flags.StringVarP(&o.host, "host", "H", "unix:///run/plugind.sock", "socket to serve the API on")
	flags.StringVarP(&o.group, "group", "G", "", "group that may use the socket, by name or number (default root's own)")
	flags.StringVar(&o.runtime, "runtime", "runc", "OCI runtime, by name or path")
	flags.StringVar(&o.containerd, "containerd", "", "run plugins by the containerd at this address")
	flags.BoolVar(&o.liveRestore, "live-restore", false, "leave plugins running when plugind ends")
	flags.StringArrayVar(&o.insecureRegistries, "insecure-registry", nil, "registry to be reached without TLS (repeatable)")
	hardeningFlags(flags, &o.hardening)
	flags.StringVarP(&o.logLevel, "log-level", "l", "info", "debug, info, warn, error or fatal")
	return command
}

// validate lists everything that is wrong with o.
func (o options) validate() error {
	var problems []error
	for _, directory := range []struct{ flag, value string }{{"--root", o.root}, {"--exec-root", o.execRoot}} {
		if !filepath.IsAbs(directory.value) {
			problems = append(problems, fmt.Errorf("%s %q: give an absolute path", directory.flag, directory.value))
		}
	}
	if _, err := o.socket(); err != nil {
		problems = append(problems, err)
	}
	if _, err := o.groupID(); err != nil {
		problems = append(problems, err)
	}
	if o.runtime == "" {
		problems = append(problems, errors.New("--runtime is empty: give a name such as runc or a path"))
	}
	return errors.Join(append(problems, validateHardening(o.hardening))...)
}

// maxSocketPath is what fits into the kernel's address of a unix socket.
const maxSocketPath = 107

// socket returns the path of the unix socket in --host.
func (o options) socket() (string, error) {
	path, ok := strings.CutPrefix(o.host, "unix://")
	if !ok || !filepath.IsAbs(path) {
		return "", fmt.Errorf("--host %q: give a socket such as unix:///run/plugind.sock", o.host)
	}
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("--host %q: the path has %d bytes, and a socket's at most %d", o.host, len(path), maxSocketPath)
	}
	return path, nil
}

// lockExecRoot keeps --exec-root to one plugind until the file is closed: what
// is below it bears no daemon's name, and each would delete the other's.
func (o options) lockExecRoot() (*os.File, error) {
	if err := os.MkdirAll(o.execRoot, 0o700); err != nil {
		return nil, fmt.Errorf("make exec root: %w", err)
	}
	file, err := dirlock.Lock(o.execRoot)
	if errors.Is(err, dirlock.ErrLocked) {
		return nil, fmt.Errorf("--exec-root %s is used by another plugind: stop it, or give another directory", o.execRoot)
	}
	if err != nil {
		return nil, fmt.Errorf("lock exec root: %w", err)
	}
	return file, nil
}

func (o options) setUpLog() error {
	logging.MakePlain()
	if err := logging.SetLevel(o.logLevel); err != nil {
		return fmt.Errorf("--log-level %q: give debug, info, warn, error or fatal", o.logLevel)
	}
	return nil
}
