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
	"strconv"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/dovetailhq/plugin/internal/build"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// buildOptions has the values of the flags of plugind build.
type buildOptions struct {
	config             string
	output             string
	push               string
	insecureRegistries []string
	install            string
	root               string
}

const buildHelp = `Build a plugin from files, without a daemon.

A source is one of
  a directory with config.json and rootfs/, as docker plugin create takes it
  a directory with config.json and a Go main package
  a directory with a rootfs
  a directory or an archive with an OCI image layout
  an archive of docker save
  go:PACKAGE, a Go main package

A platform can precede a source. Several sources make a plugin for several
platforms:
  plugind build --output plugin.tar linux/amd64=./amd64 linux/arm64=./arm64

The config is --config, or the source's own: config.json next to rootfs/ or to
the Go package, or the label ` + build.ConfigLabel + ` of an
image. The image's own config has what the plugin's config leaves out.`

func newBuildCommand() *cobra.Command {
	var o buildOptions
	command := &cobra.Command{
		Use:   "build [OPTIONS] [PLATFORM=]SOURCE...",
		Short: "Build a plugin from a directory, an image or a Go package",
		Long:  buildHelp,
		Args:  cobra.MinimumNArgs(1),

		DisableFlagsInUseLine: true,
		RunE: func(command *cobra.Command, sources []string) error {
			return runBuild(command.Context(), o, sources, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.config, "config", "", "config.json of the plugin (default: the source's own)")
	flags.StringVarP(&o.output, "output", "o", "", "file for the plugin, an archive with an OCI image layout")
	flags.StringVar(&o.push, "push", "", "name to push the plugin as, with the account of docker login")
	flags.StringArrayVar(&o.insecureRegistries, "insecure-registry", nil, "registry to reach without verified TLS (repeatable)")
	flags.StringVar(&o.install, "install", "", "name to install the plugin as, below --root")
	flags.StringVar(&o.root, "root", "/var/lib/plugind", "directory of a plugind that is not running, for --install")
	return command
}

// runBuild builds a plugin, and writes its digest to out and warnings to problems.
func runBuild(ctx context.Context, o buildOptions, texts []string, out, problems io.Writer) (err error) {
	if o.output == "" && o.push == "" && o.install == "" {
		return errors.New("no place for the plugin: set --output FILE, --push NAME or --install NAME")
	}
	sources, err := parseSources(texts)
	if err != nil {
		return err
	}
	options, err := o.builder()
	if err != nil {
		return err
	}
	builder, err := build.New("", options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, builder.Close()) }()
	plugin, err := buildAll(ctx, builder, sources, problems)
	if err != nil {
		return err
	}
	if err := o.deliver(ctx, builder, plugin, problems); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, plugin.Digest)
	return err
}

// deliver takes the plugin to each place that flags name.
func (o buildOptions) deliver(ctx context.Context, builder *build.Builder, plugin ocispec.Descriptor, steps io.Writer) error {
	if o.output != "" {
		if err := writeOutput(ctx, builder, plugin, o.output); err != nil {
			return fmt.Errorf("write %s: %w", o.output, err)
		}
	}
	if o.install != "" {
		if err := o.installBuilt(ctx, builder, plugin); err != nil {
			return fmt.Errorf("install %s: %w", o.install, err)
		}
	}
	if o.push != "" {
		return o.pushBuilt(ctx, builder, plugin, steps)
	}
	return nil
}

func parseSources(texts []string) ([]build.Source, error) {
	sources := make([]build.Source, len(texts))
	var problems []error
	for i, text := range texts {
		var err error
		if sources[i], err = build.ParseSource(text); err != nil {
			problems = append(problems, err)
		}
	}
	return sources, errors.Join(problems...)
}

// builder returns the options of the builder.
func (o buildOptions) builder() (build.Options, error) {
	latest, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return build.Options{}, err
	}
	options := build.Options{Latest: latest}
	if o.config != "" {
		if options.Config, err = options.ReadConfig(o.config); err != nil {
			return build.Options{}, fmt.Errorf("--config: %w", err)
		}
	}
	return options, nil
}

// sourceDate reads the variable SOURCE_DATE_EPOCH, which is empty or a number of
// seconds: https://reproducible-builds.org/specs/source-date-epoch/
func sourceDate(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: set it to a number of seconds since 1970, or unset it", text)
	}
	return time.Unix(seconds, 0), nil
}

// buildAll builds the plugin of each source and joins them.
func buildAll(ctx context.Context, builder *build.Builder, sources []build.Source, problems io.Writer) (ocispec.Descriptor, error) {
	var plugins []*build.Plugin
	for _, source := range sources {
		p, err := builder.Build(ctx, source)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		for _, warning := range p.Warnings {
			fmt.Fprintf(problems, "warning: %s: %s\n", plaintext.Quote(source.String()), plaintext.Quote(warning))
		}
		plugins = append(plugins, p)
	}
	return builder.Join(ctx, plugins)
}

// writeOutput writes the plugin to a file, which a failure leaves as it was.
func writeOutput(ctx context.Context, builder *build.Builder, plugin ocispec.Descriptor, path string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".plugind-build-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	err = builder.WriteLayout(ctx, file, plugin)
	if err == nil {
		err = file.Chmod(0o644)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
