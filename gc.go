// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/plaintext"
	v2 "github.com/dovetailhq/plugin/v2"
)

// GC deletes the blobs that no plugin refers to and no verb in progress uses,
// and leftovers of earlier installs, removals and runs, for example directories
// that were mounted or that would have taken long to delete. It returns when that
// is done. GC and pulls never wait for each other. Errors are logged; the next GC
// retries.
func (pm *Manager) GC() {
	if err := pm.writable(); err != nil {
		pm.warnOfLeftover(err, "collect unreferenced blobs")
		return
	}
	swept, err := pm.sweepBlobs(pm.ctx)
	if err != nil {
		pm.warnOfLeftover(err, "collect unreferenced blobs")
	}
	if swept.Count > 0 {
		pm.logger().WithField("blobs", swept.Count).WithField("bytes", swept.Bytes).Debug("collected unreferenced blobs")
	}
	err = errors.Join(pm.root.SweepGarbage(pm.ctx), pm.sweepSockets(pm.ctx))
	if err != nil {
		pm.warnOfLeftover(err, "delete what installs, removals and runs left")
	}
}

// warnOfLeftover logs why garbage was not deleted. During a shutdown that is
// expected, and the next manager deletes it.
func (pm *Manager) warnOfLeftover(err error, what string) {
	if logger := pm.logger().WithError(err); pm.halted.Err() == nil {
		logger.Warn(what)
	} else {
		logger.Debug(what)
	}
}

// sweepBlobs deletes no blob that a plugin may need.
func (pm *Manager) sweepBlobs(ctx context.Context) (blobs.Tally, error) {
	swept, err := pm.blobs.Sweep(ctx, pm.referenced)
	if isUnknownContent(err) {
		pm.logger().WithError(err).Warn("keep all blobs")
		return swept, nil
	}
	return swept, err
}

// collect sweeps on request until Shutdown begins. Requests during a sweep share
// the next one.
func (pm *Manager) collect() {
	for {
		select {
		case <-pm.halted.Done():
			return
		case <-pm.garbage:
			pm.GC()
		}
	}
}

// requestGC asks the collector for a sweep, and does not wait for it.
func (pm *Manager) requestGC() {
	select {
	case pm.garbage <- struct{}{}:
	default:
	}
}

// marks are the blobs that plugins need.
type marks map[digest.Digest]struct{}

func (m marks) add(digests ...digest.Digest) {
	for _, dgst := range digests {
		m[dgst] = struct{}{}
	}
}

// referenced returns the blobs that records and their manifests name, those of
// interrupted upgrades included. Manifests are read because docker's records of
// pulled plugins have no layers. The error is an [unknownContentError] when the
// blobs of a plugin are not known.
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

// markUnsettled marks the blobs of plugins that the next start may find.
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
		return nil // old versions of docker record none
	}
	manifest, err := pm.blobs.Manifest(ctx, p.Manifest)
	if errdefs.IsNotFound(err) {
		return nil // docker's collection deletes manifests together with their layers
	}
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	marked.add(manifest.Digests()...)
	return nil
}

// unknownContentError reports a plugin that needs unknown blobs. No blob is
// deleted then.
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

// sweepSockets deletes the directories that clearSockets left. Concurrent calls
// wait for each other.
func (pm *Manager) sweepSockets(ctx context.Context) error {
	if err := pm.sweepingSockets.Lock(ctx); err != nil {
		return err
	}
	defer pm.sweepingSockets.Unlock()
	entries, err := os.ReadDir(pm.config.ExecRoot)
	problems := []error{err}
	for _, entry := range entries {
		if discardedSockets.MatchString(entry.Name()) && ctx.Err() == nil {
			problems = append(problems, pm.files.DiscardWithin(ctx, filepath.Join(pm.config.ExecRoot, entry.Name())))
		}
	}
	return errors.Join(problems...)
}

// discardedSockets matches the names of directories of runs that clearSockets
// moved aside because they take long to delete.
var discardedSockets = regexp.MustCompile(`^[0-9a-f]{64}\.[0-9A-Z]{8}-removing$`)
