// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"

	"github.com/docker/docker/api/types/filters"
	volumetypes "github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/volume/service/opts"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// plainVolumes is volumes for routes: what a command line prints of an answer is
// escaped, because plugins choose it. Within plugind names and paths stay as they
// are, because plugind uses them, and so does the path that a mount is answered
// with.
type plainVolumes struct{ *volumes }

// List returns volumes with plain texts.
func (p plainVolumes) List(ctx context.Context, filter filters.Args) ([]*volumetypes.Volume, []string, error) {
	list, err := p.list(ctx, filter)
	found := make([]*volumetypes.Volume, len(list.found))
	for i, volume := range list.found {
		found[i] = plainVolume(volume)
	}
	return found, list.warnings, err
}

// Get returns a volume with plain texts. A name that is the client's own stays as it
// is, so that the client can refer to the volume by it.
func (p plainVolumes) Get(ctx context.Context, name string, options ...opts.GetOption) (*volumetypes.Volume, error) {
	volume, err := p.volumes.Get(ctx, name, options...)
	return plainAnswer(volume, name), err
}

// Create is like Get for a new volume.
func (p plainVolumes) Create(ctx context.Context, name, driver string, options ...opts.CreateOption) (*volumetypes.Volume, error) {
	volume, err := p.volumes.Create(ctx, name, driver, options...)
	return plainAnswer(volume, name), err
}

// Prune returns plain names.
func (p plainVolumes) Prune(ctx context.Context, filter filters.Args) (*volumetypes.PruneReport, error) {
	report, err := p.volumes.Prune(ctx, filter)
	if report != nil {
		report.VolumesDeleted = plainTexts(report.VolumesDeleted)
	}
	return report, err
}

// plainAnswer is plainVolume for a client that named the volume. The volume may be nil.
func plainAnswer(volume *volumetypes.Volume, name string) *volumetypes.Volume {
	if volume == nil {
		return nil
	}
	plain := plainVolume(volume)
	if volume.Name == name {
		plain.Name = name
	}
	return plain
}

// plainVolume returns a copy in which the texts that plugins choose are escaped.
func plainVolume(volume *volumetypes.Volume) *volumetypes.Volume {
	plain := *volume
	plain.Name, plain.Mountpoint = plaintext.Quote(plain.Name), plaintext.Quote(plain.Mountpoint)
	if plain.Status != nil {
		plain.Status = plainMap(plain.Status)
	}
	return &plain
}

// plainMap returns a copy of a decoded JSON object with plain keys and strings.
func plainMap(values map[string]any) map[string]any {
	plain := make(map[string]any, len(values))
	for key, value := range values {
		plain[plaintext.Quote(key)] = plainValue(value)
	}
	return plain
}

func plainValue(value any) any {
	switch value := value.(type) {
	case string:
		return plaintext.Quote(value)
	case map[string]any:
		return plainMap(value)
	case []any:
		plain := make([]any, len(value))
		for i := range value {
			plain[i] = plainValue(value[i])
		}
		return plain
	}
	return value
}

func plainTexts(texts []string) []string {
	for i, text := range texts {
		texts[i] = plaintext.Quote(text)
	}
	return texts
}
