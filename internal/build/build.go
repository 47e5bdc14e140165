// SPDX-License-Identifier: Apache-2.0

// Package build makes plugins from what authors have: a directory with a rootfs, an
// image in a file, or a Go main package. The result is content in a store, as a
// registry has it: layers, config and manifest for each platform, and an index of
// several platforms.
//
// Layers that come as layers stay as they are, byte for byte. Uncompressed ones are
// compressed, because docker 28 takes every layer that it pushes for a compressed one.
// The same sources give the same digests on every host.
//
// A build runs as an ordinary user: nothing is unpacked. Checks look at the tree that
// the layers' entries make.
package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/docker/docker/api/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/imagefile"
	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

// Options configure a builder. The zero value is ready to use.
type Options struct {
	// Config is the config.json of all plugins. If it is empty, each source has its
	// own.
	Config []byte
	// Latest bounds the modification times of packed files; zero means no bound.
	Latest time.Time
	// Uncompressed leaves the layers of directories and Go packages uncompressed: faster
	// to make and to install, but docker 28 can't push them.
	Uncompressed bool
	// Limits bound the images that are read.
	Limits imagefile.Limits
}

// Builder builds plugins into a private store. It is not safe for concurrent use.
type Builder struct {
	options   Options
	directory string
	store     *blobs.Store
	pin       *blobs.Pin
}

// contentName is the directory of the store. A store has the form of a layout's blobs.
const contentName = "content"

// New returns a builder that works in a new directory below parent; an empty parent
// means the directory for temporary files. The caller closes the builder.
func New(parent string, options Options) (*Builder, error) {
	directory, err := os.MkdirTemp(parent, "plugin-build-")
	if err != nil {
		return nil, err
	}
	store, err := blobs.Open(filepath.Join(directory, contentName), nil)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(directory))
	}
	if options.Limits.Archives.Budget == nil {
		options.Limits.Archives.Budget = rootfs.NewBudget()
	}
	return &Builder{options: options, directory: directory, store: store, pin: store.NewPin()}, nil
}

// Close deletes everything that was built.
func (b *Builder) Close() error {
	b.pin.Release()
	return os.RemoveAll(b.directory)
}

// Store returns the store that has the plugins.
func (b *Builder) Store() *blobs.Store { return b.store }

// Plugin is a plugin for one platform that was built.
type Plugin struct {
	// Manifest describes the manifest, with the platform.
	Manifest ocispec.Descriptor
	// Warnings are sentences about what can keep the plugin from running.
	Warnings []string
}

// Build builds the plugin of a source. Errors: [SourceError] for the source,
// [ConfigError] without a config, [imagefile.InvalidError], those of
// [rootfs.Scanner.Scan] for layers, [v2.InvalidConfigError], [GoError], and those of
// the file system and of ctx.
func (b *Builder) Build(ctx context.Context, source Source) (*Plugin, error) {
	m, err := b.open(ctx, source)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", source, err)
	}
	defer m.close()
	p, err := b.make(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", source, err)
	}
	return p, nil
}

// material is what a plugin is made of.
type material struct {
	// config is config.json, or empty.
	config []byte
	// image has defaults of the config.
	image defaults
	// platform is that of the source; warnings are about the source.
	platform ocispec.Platform
	warnings []string
	layers   []layer
	// stored is the manifest of a plugin whose layers and config stay.
	stored *imagefile.Image
	// onClose are called in the opposite order.
	onClose []func()
}

func (m *material) close() {
	for i := len(m.onClose) - 1; i >= 0; i-- {
		m.onClose[i]()
	}
}

// make makes the plugin of a material.
func (b *Builder) make(ctx context.Context, m *material) (*Plugin, error) {
	config, err := m.parseConfig()
	if err != nil {
		return nil, err
	}
	t := newTree()
	stored, err := b.addLayers(ctx, m, t)
	if err != nil {
		return nil, err
	}
	if err := m.image.fill(&config, t); err != nil {
		return nil, err
	}
	manifest, err := b.describe(ctx, m, config, stored)
	if err != nil {
		return nil, err
	}
	manifest.Platform = &m.platform
	return &Plugin{Manifest: manifest, Warnings: append(m.warnings, check(t, config.PluginConfig, m.platform)...)}, nil
}

// ConfigError reports a source without a config. Class InvalidParameter.
type ConfigError struct{ Reason string }

func (e *ConfigError) Error() string { return plaintext.Quote("config: " + e.Reason) }

// InvalidParameter marks the error's class.
func (*ConfigError) InvalidParameter() {}

// diffIDsOf returns the digests of layers for a config.
func diffIDsOf(stored []storedLayer) *types.PluginConfigRootfs {
	ids := &types.PluginConfigRootfs{Type: "layers", DiffIds: []string{}}
	for _, one := range stored {
		ids.DiffIds = append(ids.DiffIds, one.diffID.String())
	}
	return ids
}
