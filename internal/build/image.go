// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/imagefile"
	"github.com/dovetailhq/plugin/internal/remote"
)

// ofImage opens an image, or a plugin, in a layout or an archive.
func (b *Builder) ofImage(ctx context.Context, s Source) (*material, error) {
	file, err := imagefile.Open(ctx, s.Path, b.directory, b.options.Limits)
	if err != nil {
		return nil, err
	}
	m := &material{config: b.options.Config, onClose: []func(){func() { _ = file.Close() }}} // it was only read
	image, err := file.Image(s.Platform)
	if err == nil && image.ConfigType == remote.MediaTypeConfig {
		m.takePlugin(image, s)
	} else if err == nil {
		err = m.takeImage(image, s)
	}
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// takePlugin takes a plugin that was built before.
func (m *material) takePlugin(image *imagefile.Image, s Source) {
	m.platform = s.platform()
	if image.Platform != nil && s.Platform == nil {
		m.platform = *image.Platform
	}
	if len(m.config) == 0 {
		m.config, m.stored = image.Config, image
	}
	for _, one := range image.Layers {
		m.layers = append(m.layers, layer{open: one.Open, keep: m.stored != nil})
	}
}

// imageConfig has the members of an image's config that are used:
// https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md.
type imageConfig struct {
	ocispec.Platform
	Config defaults `json:"config"`
	RootFS struct {
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
}

// takeImage takes the layers and the config of an image.
func (m *material) takeImage(image *imagefile.Image, s Source) error {
	var config imageConfig
	if err := json.Unmarshal(image.Config, &config); err != nil {
		return &imagefile.InvalidError{Err: err}
	}
	ids := config.RootFS.DiffIDs
	if len(ids) != len(image.Layers) {
		return imagefile.Invalidf("its config lists %d layers, its manifest %d", len(ids), len(image.Layers))
	}
	m.image, m.platform = config.Config, platforms.Normalize(config.Platform)
	if err := m.checkPlatform(s); err != nil {
		return err
	}
	if len(m.config) == 0 {
		m.config = []byte(config.Config.Labels[ConfigLabel])
	}
	for i, one := range image.Layers {
		m.layers = append(m.layers, layer{open: one.Open, diffID: ids[i]})
	}
	return nil
}

// checkPlatform refuses an image for another platform than the source names.
func (m *material) checkPlatform(s Source) error {
	if m.platform.Architecture == "" {
		m.platform = s.platform()
	}
	if m.platform.OS != "linux" {
		return imagefile.Invalidf("it is for %s: plugins run on linux", platforms.Format(m.platform))
	}
	if s.Platform != nil && !slices.Contains([]string{platforms.Format(m.platform), platforms.Format(platforms.Normalize(m.platform))}, platforms.Format(platforms.Normalize(*s.Platform))) {
		return imagefile.Invalidf("it is for %s, not for %s", platforms.Format(m.platform), platforms.Format(*s.Platform))
	}
	return nil
}
