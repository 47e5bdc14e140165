// Package remote brings plugins from registries and takes them there.
//
// It speaks the distribution protocol as docker does: endpoints as docker's
// resolver names them, the scopes that plugins need, retries with limits,
// downloads that resume, and errors that say who refused what. One rule decides
// which server is sent what: secrets belong to an origin, see [message]. One
// layer bounds the time that servers take, see [pacer].
//
// The specification is
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md,
// that of tokens https://distribution.github.io/distribution/spec/auth/token/.
//
// A pull is [Client.Resolve], which fetches manifest and config and no more,
// then [Plugin.Fetch], which brings the layers, several at once, while the
// caller already reads them in order. A push is [Client.Push]. Content lies in
// the store, held by the request's pin, from before it is visible.
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

// Options are what a client needs. Blobs and Endpoints are required.
type Options struct {
	// Blobs gets what is pulled and has what is pushed.
	Blobs *blobs.Store
	// Endpoints tells where registries are: mirrors first, which are only
	// pulled from; an http endpoint beside an https one of the same host marks
	// a host that may be spoken to without TLS when it knows none.
	Endpoints EndpointResolver
	// UserAgent is how the daemon introduces itself. Empty means "dovetail".
	UserAgent string
	// Platform is the one whose variant of a multi-arch plugin is taken. The
	// zero value means the host's.
	Platform ocispec.Platform
	// ManifestBytes and ConfigBytes bound what is loaded into memory of a
	// plugin. Zero means 4 MiB, as docker's client takes, and 1 MiB.
	ManifestBytes int64
	ConfigBytes   int64
	// Transfers bounds the blobs that one operation transfers at once. Zero
	// means 3.
	Transfers int
	// ChunkBytes is how much is sent at once to a registry that wants uploads in
	// chunks, if it does not want more. Zero means 16 MiB.
	ChunkBytes int64
	// IdleTimeout is how long a registry may leave a request without a byte.
	// Zero means 1 minute.
	IdleTimeout time.Duration
	// LeastRate is how many bytes a second a transfer has to move, over periods
	// of IdleTimeout. Zero means 512.
	LeastRate int64
	// CommitTimeout is how long a registry may take to answer once it was sent
	// all of an upload: it may have to verify and move it. Zero means 15
	// minutes.
	CommitTimeout time.Duration
	// RetryWait is the wait before the first retry of what failed and may
	// succeed later; it doubles. Zero means 250 ms.
	RetryWait time.Duration
	// MaxRetryAfter is how long a registry may ask to be left alone before
	// that is an error. Zero means 1 minute.
	MaxRetryAfter time.Duration
	// Dial connects to registries, in tests. Nil means the network.
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
	o.LeastRate = cmp.Or(o.LeastRate, 512)
	o.CommitTimeout = cmp.Or(o.CommitTimeout, 15*time.Minute)
	o.RetryWait = cmp.Or(o.RetryWait, 250*time.Millisecond)
	o.MaxRetryAfter = cmp.Or(o.MaxRetryAfter, time.Minute)
	return o
}

// Client talks to registries. It is safe for concurrent use: operations share
// nothing but the store.
type Client struct {
	options Options
}

// New returns a client.
func New(options Options) *Client {
	return &Client{options: options.withDefaults()}
}

// Request is what one operation is about. Nothing in it is changed.
type Request struct {
	// Reference names the plugin: with a tag, a digest, or both, in which case
	// the digest decides.
	Reference reference.Named
	// Auth is the user's account at the registry; nil means none.
	Auth *registrytypes.AuthConfig
	// Headers are sent along to the registry; nil means none.
	Headers http.Header
	// Pin holds all content of the operation.
	Pin *blobs.Pin
	// Progress is told about each blob; nil means nobody wants to know.
	Progress progress.Output
}

const (
	// defaultManifestBytes is what docker accepts of a manifest.
	defaultManifestBytes = 4 << 20
	defaultConfigBytes   = 1 << 20
)
