// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testseed"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// collectionWorld is a manager and a registry with a few versions of a plugin,
// which share a layer.
type collectionWorld struct {
	*faultyWorld
	versions []string
}

// installer changes its plugins; nothing else changes them.
type installer struct {
	w      *collectionWorld
	random *rand.Rand
	names  []string
	model  map[string]string // the version of each installed plugin
}

// act calls one verb and compares its answer with the model's.
func (i *installer) act(ctx context.Context) error {
	name := i.names[i.random.IntN(len(i.names))]
	version := i.w.versions[i.random.IntN(len(i.w.versions))]
	_, installed := i.model[name]
	switch verb := i.random.IntN(12); {
	case verb == 10:
		return i.mention(ctx, name)
	case verb == 11 && installed:
		return i.w.Push(ctx, name, nil, nil, nil)
	case verb < 3:
		err := i.pull(ctx, name, version)
		return i.judge("pull", err, installed, errdefs.IsConflict, func() { i.model[name] = version })
	case verb < 5:
		buildContext := plugintest.BuildContext(settable(version), map[string]string{"plugin": version})
		err := i.w.CreateFromContext(ctx, buildContext, &types.PluginCreateOptions{RepoName: name})
		return i.judge("create", err, installed, errdefs.IsConflict, func() { i.model[name] = version })
	case verb < 7:
		ref := testworld.Named(i.w.T, i.w.repository+version)
		err := i.w.Upgrade(ctx, ref, name, nil, nil, i.w.grants, nil)
		return i.judge("upgrade", err, !installed, errdefs.IsNotFound, func() { i.model[name] = version })
	case verb < 9:
		err := i.w.Remove(name, nil)
		return i.judge("remove", err, !installed, errdefs.IsNotFound, func() { delete(i.model, name) })
	default:
		_, err := i.w.Prune(ctx)
		return err
	}
}

// mention publishes a descriptor of stored content with another size, and expects
// a refusal: nothing with that digest has that size.
func (i *installer) mention(ctx context.Context, name string) error {
	stored := i.w.Blobs()
	if len(stored) == 0 {
		return nil
	}
	wrong := ocispec.Descriptor{
		MediaType: fake.MediaTypeConfig,
		Digest:    digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(stored[i.random.IntN(len(stored))])),
		Size:      int64(i.random.IntN(100)), // less than the size of any content
	}
	m := ocispec.Manifest{MediaType: fake.MediaTypeManifest, Config: wrong}
	m.SchemaVersion = 2
	repository := "hostile/" + strings.ReplaceAll(strings.TrimSuffix(name, ":latest"), "/", "-")
	i.w.registry.PutDocument(repository, "latest", m.MediaType, m)
	_, err := i.w.Privileges(ctx, testworld.Named(i.w.T, strings.TrimSuffix(i.w.repository, "group/plugin:")+repository), nil, nil)
	if err == nil {
		return fmt.Errorf("mention %s: it was not refused", wrong.Digest)
	}
	return nil
}

// errChangedMind ends a pull that its user cancels.
var errChangedMind = errors.New("changed my mind")

// pull pulls a version. One pull in four is cancelled at its first progress.
func (i *installer) pull(ctx context.Context, name, version string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var progress io.Writer = io.Discard
	if i.random.IntN(4) == 0 {
		progress = writerFunc(func() { cancel(errChangedMind) })
	}
	return i.w.Pull(ctx, testworld.Named(i.w.T, i.w.repository+version), name, nil, nil, i.w.grants, progress)
}

// writerFunc is called at every write.
type writerFunc func()

func (f writerFunc) Write(data []byte) (int, error) {
	f()
	return len(data), nil
}

func (i *installer) judge(verb string, err error, refused bool, refusal func(error) bool, apply func()) error {
	switch {
	case refused && refusal(err), errors.Is(err, errChangedMind), errors.Is(err, context.Canceled):
		return nil
	case refused || err != nil:
		return fmt.Errorf("%s: refused %v: %w", verb, refused, err)
	}
	apply()
	return nil
}

// TestCollectionAgainstModel pulls, creates, upgrades, pushes, removes and collects
// at random and concurrently, with a registry that describes content wrongly. In the
// end each plugin has the version that its last successful verb installed, and the
// store has exactly the blobs that plugins refer to.
func TestCollectionAgainstModel(t *testing.T) {
	seed := testseed.Of(t)
	w := &collectionWorld{faultyWorld: newFaultyWorld(t), versions: []string{"v1", "v2", "v3"}}
	putVersion(t, w.registry, "v3")
	w.privileges()
	host := strings.TrimSuffix(w.repository, "group/plugin:")
	const installers, plugins, steps = 5, 3, 40
	ctx, stop := context.WithCancel(t.Context())
	var collector, working sync.WaitGroup
	collector.Go(func() {
		for ctx.Err() == nil {
			w.GC()
		}
	})
	all := make([]*installer, installers)
	for k := range all {
		i := &installer{w: w, random: rand.New(rand.NewPCG(seed, uint64(k))), model: map[string]string{}}
		for n := range plugins {
			i.names = append(i.names, fmt.Sprintf("%scollection/owner%d-%d:latest", host, k, n))
		}
		all[k] = i
		working.Go(func() {
			for step := range steps {
				if err := i.act(t.Context()); err != nil {
					t.Errorf("owner %d, step %d: %v", k, step, err)
					return
				}
			}
		})
	}
	working.Wait()
	stop()
	collector.Wait()
	w.compare(all)
	w.Shutdown()
	assert.NilError(t, w.boot())
	w.compare(all)
}

// compare compares the plugins with the models of the installers.
func (w *collectionWorld) compare(all []*installer) {
	w.T.Helper()
	var want []string
	for _, i := range all {
		for name, version := range i.model {
			want = append(want, fmt.Sprintf("%s false [DEBUG=0] %q", name, version))
		}
	}
	slices.Sort(want)
	assert.Equal(w.T, w.state(), strings.Join(want, "\n"))
	w.Check("at rest") // every referenced blob is there, and no other
	_, err := w.Prune(w.T.Context())
	assert.NilError(w.T, err)
	ingests, err := os.ReadDir(w.Config.Root + "/storage/ingest")
	assert.NilError(w.T, err)
	assert.Equal(w.T, len(ingests), 0, "a cancelled pull left its upload for ever")
}
