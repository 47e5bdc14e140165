// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/distribution/reference"
	"github.com/docker/docker/pkg/progress"
	"github.com/docker/docker/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/build"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// pushBuilt pushes a plugin to --push, with the account of docker login.
func (o buildOptions) pushBuilt(ctx context.Context, builder *build.Builder, plugin ocispec.Descriptor, out io.Writer) error {
	ref, err := parsePushed(o.push)
	if err != nil {
		return err
	}
	accounts, err := readDockerConfig()
	if err != nil {
		return err
	}
	account, err := accounts.account(ctx, ref)
	if err != nil {
		return err
	}
	service, err := registry.NewService(registry.ServiceOptions{InsecureRegistries: o.insecureRegistries})
	if err != nil {
		return fmt.Errorf("--insecure-registry: %w", err)
	}
	return builder.Push(ctx, build.Target{Reference: ref, Auth: account, Endpoints: service, Progress: &progressLines{out: out}}, plugin)
}

func parsePushed(name string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("--push %q: %w", name, err)
	}
	if _, ok := ref.(reference.Canonical); ok {
		return nil, fmt.Errorf("--push %q: use a tag, because the digest is that of the plugin", name)
	}
	return reference.TagNameOnly(ref), nil
}

// progressLines prints the steps of a transfer, without counts of bytes.
type progressLines struct {
	mu  sync.Mutex
	out io.Writer
}

// WriteProgress implements progress.Output.
func (l *progressLines) WriteProgress(p progress.Progress) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := p.Message
	if p.Action != "" && p.Total == 0 {
		text = p.ID + ": " + p.Action
	}
	if text == "" {
		return nil
	}
	_, err := fmt.Fprintln(l.out, plaintext.Quote(text))
	return err
}
