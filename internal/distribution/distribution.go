// SPDX-License-Identifier: Apache-2.0

// Package distribution moves plugins between a registry, the blob store and a
// rootfs. It finds and unpacks plugins, makes the manifest of a plugin that was
// built or has lost its manifest to docker, and writes progress. It has no state
// and reads no record on disk.
package distribution

import (
	"context"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

// Source provides the content of plugins. It is safe for concurrent use.
type Source struct {
	Blobs  *blobs.Store
	Remote *remote.Client
	Limits rootfs.Limits // of each plugin
}

// Push sends a plugin's manifest and its blobs. It does not send blobs that the
// registry has, or can mount from one of the origins. Errors: those of
// [remote.Client.Push].
func (s Source) Push(ctx context.Context, t Transfer, manifest digest.Digest, origins ...reference.Named) error {
	_, err := s.Remote.Push(ctx, t.request(ctx), manifest, origins...)
	return err
}
