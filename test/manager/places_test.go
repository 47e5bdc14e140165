// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/registry"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
)

// quietBody is a build context from a client that sends nothing until it is gone.
type quietBody struct {
	reads atomic.Int32
	leave sync.Once
	gone  chan struct{}
}

func newQuietBody() *quietBody { return &quietBody{gone: make(chan struct{})} }

func (b *quietBody) Read([]byte) (int, error) {
	b.reads.Add(1)
	<-b.gone
	return 0, io.ErrUnexpectedEOF
}

func (b *quietBody) Close() error {
	b.leave.Do(func() { close(b.gone) })
	return nil
}

// quietRegistry does not answer until the test releases it.
type quietRegistry struct {
	asked  atomic.Int32
	answer chan struct{}
}

var errNoRegistry = errors.New("no such registry")

func (r *quietRegistry) LookupPullEndpoints(string) ([]registry.APIEndpoint, error) {
	r.asked.Add(1)
	<-r.answer
	return nil, errNoRegistry
}

func (r *quietRegistry) LookupPushEndpoints(host string) ([]registry.APIEndpoint, error) {
	return r.LookupPullEndpoints(host)
}

// inPlaces runs a test in virtual time. Its manager has two places for creates and
// two for transfers.
func inPlaces(t *testing.T, test func(t *testing.T, pm *plugin.Manager, r *quietRegistry)) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		r := &quietRegistry{answer: make(chan struct{})}
		config := w.Config
		config.RegistryService = r
		config.Limits = plugin.Limits{Creates: 2, Transfers: 2}
		pm, err := testworld.NewManagerAwaiting(config, nil)
		assert.NilError(t, err)
		defer pm.Shutdown()
		test(t, pm, r)
	})
}

// start runs a verb.
func start(verb func() error) (result <-chan error) {
	results := make(chan error, 1)
	go func() { results <- verb() }()
	return results
}

// TestCreatesWaitForAPlace makes silent clients take all places. A create that
// waits reads nothing. Its context and the shutdown end it.
func TestCreatesWaitForAPlace(t *testing.T) {
	inPlaces(t, func(t *testing.T, pm *plugin.Manager, _ *quietRegistry) {
		const clients = 5
		var bodies [clients]*quietBody
		var results [clients]<-chan error
		var cancels [clients]context.CancelFunc
		for i := range clients {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			bodies[i], cancels[i] = newQuietBody(), cancel
			results[i] = start(func() error {
				return pm.CreateFromContext(ctx, bodies[i], &types.PluginCreateOptions{RepoName: fmt.Sprint("p", i)})
			})
			synctest.Wait()
		}
		read := func() (who []int) {
			synctest.Wait()
			for i, body := range bodies {
				if body.reads.Load() > 0 {
					who = append(who, i)
				}
			}
			return who
		}
		assert.DeepEqual(t, read(), []int{0, 1})

		cancels[2]()
		assert.Check(t, is.ErrorIs(<-results[2], context.Canceled))
		assert.DeepEqual(t, read(), []int{0, 1})

		assert.NilError(t, bodies[0].Close())
		assert.Check(t, is.ErrorIs(<-results[0], io.ErrUnexpectedEOF))
		assert.DeepEqual(t, read(), []int{0, 1, 3})

		pm.Shutdown()
		var fenced *plugin.FencedError
		for _, i := range []int{1, 3, 4} {
			err := <-results[i]
			assert.Check(t, errors.As(err, &fenced), "%d: %v", i, err)
		}
		assert.DeepEqual(t, read(), []int{0, 1, 3})
	})
}

// TestTransfersWaitForAPlace makes a silent registry hold all places. Further verbs
// send no request, and end with their context.
func TestTransfersWaitForAPlace(t *testing.T) {
	ref := testworld.Named(t, "registry.example/group/plugin:1")
	verbs := map[string]func(ctx context.Context, pm *plugin.Manager) error{
		"privileges": func(ctx context.Context, pm *plugin.Manager) error {
			_, err := pm.Privileges(ctx, ref, nil, nil)
			return err
		},
		"pull": func(ctx context.Context, pm *plugin.Manager) error {
			return pm.Pull(ctx, ref, "new", nil, nil, nil, nil)
		},
		"push": func(ctx context.Context, pm *plugin.Manager) error {
			return pm.Push(ctx, ref.String(), nil, nil, nil)
		},
		"upgrade": func(ctx context.Context, pm *plugin.Manager) error {
			return pm.Upgrade(ctx, ref, ref.String(), nil, nil, nil, nil)
		},
	}
	for name, verb := range verbs {
		t.Run(name, func(t *testing.T) {
			inPlaces(t, func(t *testing.T, pm *plugin.Manager, r *quietRegistry) {
				archive := plugintest.BuildContext(plugintest.Config(), nil)
				assert.NilError(t, pm.CreateFromContext(t.Context(), archive, &types.PluginCreateOptions{RepoName: ref.String()}))
				var taken []<-chan error
				for range 2 {
					taken = append(taken, start(func() error { return verbs["privileges"](t.Context(), pm) }))
				}
				synctest.Wait()
				assert.Equal(t, r.asked.Load(), int32(2))

				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				cancelled := start(func() error { return verb(ctx, pm) })
				synctest.Wait()
				cancel()
				assert.Check(t, is.ErrorIs(<-cancelled, context.Canceled))
				waiting := start(func() error { return verb(t.Context(), pm) })
				synctest.Wait()
				assert.Equal(t, r.asked.Load(), int32(2))

				close(r.answer)
				for _, result := range append(taken, waiting) {
					assert.Check(t, is.ErrorIs(<-result, errNoRegistry))
				}
				assert.Check(t, r.asked.Load() > 2)
			})
		})
	}
}

// TestSilentClientsLosePlaces makes silent clients take all places. The next create
// gets one after a minute, and the silent ones get an error.
func TestSilentClientsLosePlaces(t *testing.T) {
	inPlaces(t, func(t *testing.T, pm *plugin.Manager, _ *quietRegistry) {
		create := func(body io.ReadCloser, name string) error {
			return pm.CreateFromContext(t.Context(), body, &types.PluginCreateOptions{RepoName: name})
		}
		var silent []<-chan error
		for i := range 2 {
			silent = append(silent, start(func() error { return create(newQuietBody(), fmt.Sprint("silent", i)) }))
		}
		synctest.Wait()
		began := time.Now()
		assert.NilError(t, create(plugintest.BuildContext(plugintest.Config(), nil), "sound"))
		assert.Check(t, is.Equal(time.Since(began), time.Minute))
		for _, result := range silent {
			err := <-result
			assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
			var silent *plugin.SilentClientError
			assert.Check(t, errors.As(err, &silent) && silent.Patience == time.Minute, "%v", err)
		}
	})
}

// TestUpgradesWaitForTheirPluginWithoutAPlace makes two upgrades wait for a
// plugin that another verb has. The places stay free for other transfers, and a
// transfer that finds none free reports its wait.
func TestUpgradesWaitForTheirPluginWithoutAPlace(t *testing.T) {
	ref := testworld.Named(t, "registry.example/group/plugin:1")
	inPlaces(t, func(t *testing.T, pm *plugin.Manager, r *quietRegistry) {
		archive := plugintest.BuildContext(plugintest.Config(), nil)
		assert.NilError(t, pm.CreateFromContext(t.Context(), archive, &types.PluginCreateOptions{RepoName: "p"}))
		release, free := testworld.HoldOperation(pm, "p")
		assert.Assert(t, free)
		upgrade := func() error { return pm.Upgrade(t.Context(), ref, "p", nil, nil, nil, nil) }
		ask := func() error { _, err := pm.Privileges(t.Context(), ref, nil, nil); return err }
		upgrades := []<-chan error{start(upgrade), start(upgrade)}
		synctest.Wait()
		asking := []<-chan error{start(ask), start(ask)}
		synctest.Wait()
		assert.Check(t, is.Equal(r.asked.Load(), int32(2)), "the upgrades hold the places")

		var progress bytes.Buffer
		asking = append(asking, start(func() error { return pm.Pull(t.Context(), ref, "new", nil, nil, nil, &progress) }))
		synctest.Wait()
		assert.Check(t, is.Contains(progress.String(), "Waiting for other transfers to end"))
		release()
		close(r.answer)
		for _, result := range asking {
			assert.Check(t, is.ErrorIs(<-result, errNoRegistry))
		}
		for _, result := range upgrades {
			assert.Check(t, <-result != nil)
		}
	})
}
