// SPDX-License-Identifier: Apache-2.0

// Package remote pulls plugins from registries and pushes them.
//
// It speaks the distribution protocol like docker: it uses the endpoints of
// docker's resolver and the scopes of plugins, bounds retries, resumes
// downloads, and names in its errors the host that refused. One rule decides
// what each server receives: a secret belongs to one origin, see [message]. One
// layer bounds the time that servers take, see [pacer].
//
// The specification is
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md,
// that of tokens https://distribution.github.io/distribution/spec/auth/token/.
//
// A pull is [Client.Resolve], which fetches only manifest and config, then
// [Plugin.Fetch], which fetches several layers at a time while the caller
// already reads them in order. A push is [Client.Push]. The request's pin holds
// content from before it is visible in the store.
package remote

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"time"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
)

// Options configure a client. Blobs and Endpoints are required.
type Options struct {
	// Blobs receives pulled content and provides pushed content.
	Blobs *blobs.Store
	// Endpoints returns the endpoints of a registry: mirrors first, which serve
	// pulls only. An http endpoint next to an https endpoint of the same host
	// allows plain HTTP with a host that does not support TLS.
	Endpoints EndpointResolver
	// UserAgent is the User-Agent of all requests. Empty means "dovetail".
	UserAgent string
	// Platform selects the variant of a multi-arch plugin. The zero value means
	// the host's platform.
	Platform ocispec.Platform
	// ManifestBytes and ConfigBytes bound the documents that are loaded into
	// memory. Zero means 4 MiB, the limit of docker's client, and 1 MiB.
	ManifestBytes int64
	ConfigBytes   int64
	// Transfers bounds the blobs that one operation transfers at once. Zero
	// means 3.
	Transfers int
	// ChunkBytes is the size of chunks for a registry that asks for chunked
	// uploads, unless it asks for larger ones. Zero means 16 MiB.
	ChunkBytes int64
	// IdleTimeout is the longest time without a byte from a registry. Zero
	// means 1 minute.
	IdleTimeout time.Duration
	// MinRate is the lowest rate of a transfer, in bytes per second, over
	// periods of IdleTimeout. Zero means 512.
	MinRate int64
	// CommitTimeout is the time in which a registry must answer a complete
	// upload: it may have to verify and move it. Zero means 15 minutes.
	CommitTimeout time.Duration
	// RetryWait is the wait before the first retry; it doubles with each retry.
	// Zero means 250 ms.
	RetryWait time.Duration
	// MaxRetryAfter is the longest Retry-After that a client waits; a longer one
	// is an error. Zero means 1 minute.
	MaxRetryAfter time.Duration
	// Dial connects to registries; tests set it. Nil means the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (o Options) withDefaults() Options {
	o.UserAgent = cmp.Or(o.UserAgent, "dovetail")
	if o.Platform.OS == "" {
		o.Platform = platforms.DefaultSpec()
	}
	o.ManifestBytes = cmp.Or(o.ManifestBytes, defaultManifestBytes)
	o.ConfigBytes = cmp.Or(o.ConfigBytes, defaultConfigBytes)
	o.Transfers = cmp.Or(o.Transfers, 3)
	o.ChunkBytes = cmp.Or(o.ChunkBytes, 16<<20)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, time.Minute)
	o.MinRate = cmp.Or(o.MinRate, 512)
	o.CommitTimeout = cmp.Or(o.CommitTimeout, 15*time.Minute)
	o.RetryWait = cmp.Or(o.RetryWait, 250*time.Millisecond)
	o.MaxRetryAfter = cmp.Or(o.MaxRetryAfter, time.Minute)
	return o
}

// Client talks to registries. It is safe for concurrent use: operations share
// only the store.
type Client struct {
	options Options
}

// New returns a client.
func New(options Options) *Client {
	return &Client{options: options.withDefaults()}
}

// Request describes one operation. The client does not change it.
type Request struct {
	// Reference names the plugin: with a tag, a digest, or both, in which case
	// the digest decides.
	Reference reference.Named
	// Auth is the user's account at the registry; nil means none.
	Auth *registrytypes.AuthConfig
	// Headers are added to requests to the registry; nil means none.
	Headers http.Header
	// Pin holds all content of the operation.
	Pin *blobs.Pin
	// Progress receives the progress of each blob; nil means none is reported.
	Progress progress.Output
}

const (
	// defaultManifestBytes is the largest manifest that docker accepts.
	defaultManifestBytes = 4 << 20
	defaultConfigBytes   = 1 << 20
)
