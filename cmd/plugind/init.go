// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/skeleton"
)

func newInitCommand() *cobra.Command {
	kinds := strings.Join(skeleton.Kinds(), "|")
	return &cobra.Command{
		Use:   "init " + kinds + " DIR",
		Short: "Write a Go project with a plugin to begin with",
		Long: `Write a Go project with a plugin to begin with: a program, its tests and its
config.json. DIR is new or empty, and its name becomes that of the module.
plugind dev DIR runs the plugin.`,
		Args: cobra.ExactArgs(2),

		DisableFlagsInUseLine: true,
		RunE: func(command *cobra.Command, arguments []string) error {
			kind, directory := arguments[0], arguments[1]
			if err := skeleton.Write(kind, directory); err != nil {
				return fmt.Errorf("init: %w", err)
			}
			_, err := fmt.Fprintf(command.OutOrStdout(), "%s has a plugin: plugind dev %[1]s\n", plaintext.Quote(directory))
			return err
		},
	}
}
