package v2

import (
	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
)

// Plugin is one installed plugin.
type Plugin struct {
	PluginObj types.Plugin `json:"plugin"`

	Rootfs string

	Config   digest.Digest
	Blobsums []digest.Digest
	Manifest digest.Digest

	SwarmServiceID string
}
