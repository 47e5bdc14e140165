// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"fmt"
	"slices"

	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// diffIDs returns the digests of the layers in the config; old configs have none.
func diffIDs(config types.PluginConfig) []string {
	if config.Rootfs == nil {
		return nil
	}
	return config.Rootfs.DiffIds
}

func checkDiffIDCount(config types.PluginConfig, layers int) error {
	if ids := diffIDs(config); len(ids) > 0 && len(ids) != layers {
		return &MismatchError{Err: fmt.Errorf("its config lists %d layers, its manifest %d", len(ids), layers)}
	}
	return nil
}

// checkDiffID compares a layer with its digest in the config: that of the
// uncompressed archive or, from old versions of docker, that of the compressed
// one.
func checkDiffID(config types.PluginConfig, i int, plain, compressed digest.Digest) error {
	ids := diffIDs(config)
	if len(ids) == 0 || slices.Contains([]string{plain.String(), compressed.String()}, ids[i]) {
		return nil
	}
	return &MismatchError{Err: fmt.Errorf("layer %s unpacks to %s, its config lists %s", compressed, plain, ids[i])}
}

// MismatchError reports a config that does not describe the layers of its
// plugin. Class InvalidParameter.
type MismatchError struct{ Err error }

func (e *MismatchError) Error() string { return plaintext.Sprintf("invalid plugin: %v", e.Err) }

// Unwrap returns the difference.
func (e *MismatchError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (e *MismatchError) InvalidParameter() {}
