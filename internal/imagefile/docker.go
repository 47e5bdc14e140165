// SPDX-License-Identifier: Apache-2.0

package imagefile

import (
	"errors"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// dockerManifest is the file that lists the images of an archive of docker save.
const dockerManifest = "manifest.json"

// dockerImage is an image in dockerManifest.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// ofDocker returns the image of an archive that docker save wrote before docker 25.
func (d documents) ofDocker() (*Image, error) {
	var all []dockerImage
	var invalidErr *InvalidError
	err := d.decode(dockerManifest, d.limits.maxManifestBytes(), &all)
	if has, hasErr := d.has(dockerManifest); errors.As(err, &invalidErr) && !has && hasErr == nil {
		return nil, Invalidf("it has neither %s nor %s: use an OCI layout or an archive of docker save", ocispec.ImageLayoutFile, dockerManifest)
	}
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, Invalidf("it has %d images%s: save one image alone", len(all), namesOf(all))
	}
	config, err := d.read(all[0].Config, d.limits.MaxConfigBytes())
	if err != nil {
		return nil, err
	}
	if err := checkImageID(all[0].Config, config); err != nil {
		return nil, err
	}
	image := &Image{Config: config, ConfigType: images.MediaTypeDockerSchema2Config}
	for _, name := range all[0].Layers {
		image.Layers = append(image.Layers, Layer{name: name, files: d.files})
	}
	return image, nil
}

// checkImageID compares a config with its name, which is the digest of the image
// unless another program chose the name.
func checkImageID(name string, config []byte) error {
	want := digest.NewDigestFromEncoded(digest.SHA256, strings.TrimSuffix(path.Base(name), ".json"))
	if got := digest.FromBytes(config); want.Validate() == nil && got != want {
		return Invalidf("config %s does not match its digest: its content has %s", name, got)
	}
	return nil
}

// maxNames bounds the images that an error names.
const maxNames = 5

// namesOf returns the names of images for an error.
func namesOf(all []dockerImage) string {
	var names []string
	for _, image := range all {
		names = append(names, image.RepoTags...)
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names[:min(len(names), maxNames)], ", ") + ")"
}
