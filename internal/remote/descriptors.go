package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxDescriptors bounds the lists of a document. Docker's image store takes 127
// layers; a manifest of 4 MiB has room for a million empty descriptors, each of
// which takes a hundred times its text in memory.
const maxDescriptors = 4096

// wireDocument is a document as it is read: only what is used, and no more of
// it than bounds allow.
type wireDocument struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	ArtifactType  string          `json:"artifactType"`
	Config        *wireDescriptor `json:"config"`
	Layers        wireDescriptors `json:"layers"`
	Manifests     wireDescriptors `json:"manifests"`
}

func (w wireDocument) document() document {
	d := document{SchemaVersion: w.SchemaVersion, MediaType: w.MediaType, ArtifactType: w.ArtifactType, Layers: w.Layers, Manifests: w.Manifests}
	if w.Config != nil {
		config := w.Config.descriptor()
		d.Config = &config
	}
	return d
}

// wireDescriptor has what is used of a descriptor.
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

// wireDescriptors reads a list one by one, up to maxDescriptors.
type wireDescriptors []ocispec.Descriptor

// UnmarshalJSON implements json.Unmarshaler. A document that has the list twice
// is refused: readers differ in which one counts.
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
		return fmt.Errorf("%v is no list of descriptors", open)
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
