package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/plaintext"
	v2 "github.com/dovetailhq/plugin/v2"
)

// marks are the blobs that plugins need.
type marks map[digest.Digest]struct{}

func (m marks) add(digests ...digest.Digest) {
	for _, dgst := range digests {
		m[dgst] = struct{}{}
	}
}

// referenced returns what the records name, those of interrupted upgrades
// included, and what their manifests name: the records of plugins that docker
// pulled have no layers. The error is an [unknownContentError] when that is not
// known of a plugin.
func (pm *Manager) referenced(ctx context.Context) (map[digest.Digest]struct{}, error) {
	if broken := pm.brokenUnits(); len(broken) > 0 {
		return nil, &unknownContentError{ID: broken[0].plugin.GetID(), Err: broken[0].broken}
	}
	marked := marks{}
	for _, p := range pm.config.Store.GetAll() {
		err := pm.mark(ctx, marked, p)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, &unknownContentError{ID: p.GetID(), Err: err}
		}
	}
	return marked, pm.markUnsettled(ctx, marked)
}

// markUnsettled marks what the next start may find.
func (pm *Manager) markUnsettled(ctx context.Context, marked marks) error {
	records, err := pm.root.UnsettledRecords()
	if err != nil {
		return &unknownContentError{ID: "that is interrupted", Err: err}
	}
	for _, record := range records {
		p := &v2.Plugin{}
		err := json.Unmarshal(record, p)
		if err == nil {
			err = pm.mark(ctx, marked, p)
		}
		if err != nil {
			return &unknownContentError{ID: p.GetID(), Err: err}
		}
	}
	return nil
}

func (pm *Manager) mark(ctx context.Context, marked marks, p *v2.Plugin) error {
	marked.add(p.Config, p.Manifest)
	marked.add(p.Blobsums...)
	if p.Manifest.Validate() != nil {
		return nil // older dockers record none
	}
	manifest, err := pm.blobs.Manifest(ctx, p.Manifest)
	if cerrdefs.IsNotFound(err) {
		return nil // docker's own collection deletes manifests, and layers with them
	}
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	marked.add(manifest.Digests()...)
	return nil
}

// unknownContentError reports a plugin of which it is not known what blobs it
// needs. No blob is deleted then.
type unknownContentError struct {
	ID  string
	Err error
}

func (e *unknownContentError) Error() string {
	return plaintext.Sprintf("plugin %s needs blobs that are not known: %v", e.ID, e.Err)
}

func (e *unknownContentError) Unwrap() error { return e.Err }

func isUnknownContent(err error) bool {
	var unknown *unknownContentError
	return errors.As(err, &unknown)
}
