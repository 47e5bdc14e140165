// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxDescriptors bounds the lists of a document. Docker's image store accepts 127
// layers. A manifest of 4 MiB can hold a million empty descriptors, which take a
// hundred times as much memory.
const maxDescriptors = 4096

// wireDocument decodes the members of a document that are used, within bounds.
type wireDocument struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	ArtifactType  string          `json:"artifactType"`
	Config        *wireDescriptor `json:"config"`
	Layers        wireDescriptors `json:"layers"`
	Manifests     wireDescriptors `json:"manifests"`
}

func (w wireDocument) document() Document {
	d := Document{SchemaVersion: w.SchemaVersion, MediaType: w.MediaType, ArtifactType: w.ArtifactType, Layers: w.Layers, Manifests: w.Manifests}
	if w.Config != nil {
		config := w.Config.descriptor()
		d.Config = &config
	}
	return d
}

// wireDescriptor decodes the members of a descriptor that are used.
type wireDescriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	Platform  *struct {
		OS           string `json:"os"`
		OSVersion    string `json:"os.version"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform"`
	Annotations struct {
		ReferenceType string `json:"vnd.docker.reference.type"`
	} `json:"annotations"`
}

func (w wireDescriptor) descriptor() ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: w.MediaType, Digest: w.Digest, Size: w.Size}
	if w.Platform != nil {
		d.Platform = &ocispec.Platform{OS: w.Platform.OS, OSVersion: w.Platform.OSVersion, Architecture: w.Platform.Architecture, Variant: w.Platform.Variant}
	}
	if w.Annotations.ReferenceType != "" {
		d.Annotations = map[string]string{attestationKey: w.Annotations.ReferenceType}
	}
	return d
}

// wireDescriptors decodes a list of at most maxDescriptors, one by one.
type wireDescriptors []ocispec.Descriptor

// UnmarshalJSON implements json.Unmarshaler. It refuses a document that has the
// list twice, because readers differ in which one they use.
func (w *wireDescriptors) UnmarshalJSON(data []byte) error {
	if *w != nil {
		return errors.New("it has a list of descriptors twice")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	open, err := decoder.Token()
	if err != nil || open == nil {
		return err
	}
	if open != json.Delim('[') {
		return fmt.Errorf("%v is not a list of descriptors", open)
	}
	all := wireDescriptors{}
	for decoder.More() {
		if len(all) == maxDescriptors {
			return fmt.Errorf("it lists more than %d descriptors", maxDescriptors)
		}
		var one wireDescriptor
		if err := decoder.Decode(&one); err != nil {
			return err
		}
		all = append(all, one.descriptor())
	}
	*w = all
	return nil
}
