// SPDX-License-Identifier: Apache-2.0

// Command docker is a docker client for machines without one. It has the plugin,
// volume, info, version and events commands of docker/cli, with docker's flags,
// messages and formats. docker/cli's cmd/docker itself does not build from the
// module proxy, because it imports internal packages of other modules.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/command/plugin"
	"github.com/docker/cli/cli/command/system"
	"github.com/docker/cli/cli/command/volume"
	"github.com/docker/cli/cli/version"
	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitCode(err))
	}
}

func run(ctx context.Context) error {
	version.Version = cliVersion()
	client, err := command.NewDockerCli(command.WithBaseContext(ctx))
	if err != nil {
		return err
	}
	root := &cobra.Command{
		Use:              "docker [OPTIONS] COMMAND [ARG...]",
		Short:            "Manage plugins and volumes of a daemon",
		Version:          version.Version,
		SilenceUsage:     true,
		SilenceErrors:    true,
		TraverseChildren: true,
		RunE:             command.ShowHelp(client.Err()),
	}
	options, _ := cli.SetupRootCommand(root)
	// The global flags are read before cobra would add this one itself.
	root.Flags().BoolP("version", "v", false, "Print version information and quit")
	root.AddCommand(
		plugin.NewPluginCommand(client),  //nolint:staticcheck // deprecated for importers at large; there is no other way to the commands
		volume.NewVolumeCommand(client),  //nolint:staticcheck // likewise
		system.NewEventsCommand(client),  //nolint:staticcheck // likewise
		system.NewInfoCommand(client),    //nolint:staticcheck // likewise
		system.NewVersionCommand(client), //nolint:staticcheck // likewise
	)

	// The global flags say which daemon to talk to, so they are read before
	// the command that talks to it.
	top := cli.NewTopLevelCommand(root, client, options, root.Flags())
	_, args, err := top.HandleGlobalFlags()
	if err != nil {
		return err
	}
	if err := top.Initialize(); err != nil {
		return err
	}
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// cliVersion is the version of docker/cli that this was built from.
func cliVersion() string {
	build, _ := debug.ReadBuildInfo()
	if build == nil {
		return "unknown-version"
	}
	for _, module := range build.Deps {
		if module.Path == "github.com/docker/cli" {
			return strings.TrimSuffix(strings.TrimPrefix(module.Version, "v"), "+incompatible")
		}
	}
	return "unknown-version"
}

func exitCode(err error) int {
	var status cli.StatusError
	if errors.As(err, &status) && status.StatusCode != 0 {
		return status.StatusCode
	}
	return 1
}
