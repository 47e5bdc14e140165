// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engineapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/class"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// dial serves backend on a unix socket and returns docker's own client to it.
func dial(t testing.TB, backend Backend) *client.Client {
	t.Helper()
	executortest.VerifyNoLeaks(t)
	address := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", address)
	assert.NilError(t, err)
	server := httptest.NewUnstartedServer(NewHandler(backend))
	assert.NilError(t, server.Listener.Close())
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)

	docker, err := client.NewClientWithOpts(client.WithHost("unix://"+address), client.WithVersion("1.51"))
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, docker.Close()) })
	return docker
}

// drain reads a verb's progress to the end.
func drain(t testing.TB, progress io.ReadCloser, err error) string {
	t.Helper()
	assert.NilError(t, err)
	all, err := io.ReadAll(progress)
	assert.NilError(t, err)
	assert.NilError(t, progress.Close())
	return string(all)
}

func TestDockersClientDrivesEveryVerb(t *testing.T) {
	backend := &recorder{
		plugins:    []types.Plugin{{Name: "foo:latest", ID: id}},
		privileges: types.PluginPrivileges{{Name: "network", Value: []string{"host"}}},
		progress:   []string{step},
	}
	docker := dial(t, backend)
	ctx := context.Background()

	found, err := docker.PluginList(ctx, filters.NewArgs(filters.Arg("enabled", "true")))
	assert.NilError(t, err)
	assert.Check(t, is.Equal(found[0].ID, id))

	inspected, raw, err := docker.PluginInspectWithRaw(ctx, "foo:latest")
	assert.NilError(t, err)
	assert.Check(t, is.Equal(inspected.Name, "foo:latest"))
	assert.Check(t, is.Contains(string(raw), `"Id":"1234"`))

	assert.NilError(t, docker.PluginCreate(ctx, strings.NewReader("tar"), types.PluginCreateOptions{RepoName: "foo:v1"}))

	install := types.PluginInstallOptions{RemoteRef: "a.example/foo:v1", AcceptAllPermissions: true, Args: []string{"DEBUG=1"}}
	installed, err := docker.PluginInstall(ctx, "", install)
	assert.Check(t, is.Equal(drain(t, installed, err), step))

	upgraded, err := docker.PluginUpgrade(ctx, "foo:v1", types.PluginInstallOptions{RemoteRef: "a.example/foo:v2", AcceptAllPermissions: true})
	assert.Check(t, is.Equal(drain(t, upgraded, err), step))

	pushed, err := docker.PluginPush(ctx, "foo:v1", "")
	assert.Check(t, is.Equal(drain(t, pushed, err), step))

	assert.NilError(t, docker.PluginEnable(ctx, "foo:v1", types.PluginEnableOptions{Timeout: 9}))
	assert.NilError(t, docker.PluginSet(ctx, "foo:v1", []string{"DEBUG=0"}))
	assert.NilError(t, docker.PluginDisable(ctx, "foo:v1", types.PluginDisableOptions{Force: true}))
	assert.NilError(t, docker.PluginRemove(ctx, "foo:v1", types.PluginRemoveOptions{Force: true}))

	assert.DeepEqual(t, backend.recorded(), []string{
		`list {"enabled":{"true":true}}`,
		`inspect foo:latest`,
		`create foo:v1 from 3 bytes`,
		`privileges a.example/foo:v1 by= meta={}`,
		`pull a.example/foo:v1 as a.example/foo:v1 by= meta={} granted=network`,
		`set a.example/foo:v1 ["DEBUG=1"]`,
		`enable a.example/foo:v1 timeout=0`,
		`privileges a.example/foo:v2 by= meta={}`,
		`upgrade foo:v1 to a.example/foo:v2 by= meta={} granted=network`,
		`push foo:v1 by= meta={}`,
		`enable foo:v1 timeout=9`,
		`set foo:v1 ["DEBUG=0"]`,
		`disable foo:v1 force=true`,
		`remove foo:v1 force=true`,
	})
}

func TestDockersClientInstallsUnderAnAlias(t *testing.T) {
	backend := &recorder{progress: []string{step}}
	installed, err := dial(t, backend).PluginInstall(context.Background(), "bar:latest", types.PluginInstallOptions{
		RemoteRef: "a.example/foo@" + digest, AcceptAllPermissions: true,
	})
	assert.Equal(t, drain(t, installed, err), step)
	assert.DeepEqual(t, backend.recorded(), []string{
		`privileges a.example/foo@` + digest + ` by= meta={}`,
		`pull a.example/foo@` + digest + ` as bar:latest by= meta={} granted=`,
		`enable bar:latest timeout=0`,
	})
}

func TestDockersClientSeesTheClassOfAnError(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		name string
		err  error
		is   func(error) bool
	}{
		{"not found", class.NotFound(errors.New("plugin \"foo\" not found")), errdefs.IsNotFound},
		{"conflict", class.Conflict(errors.New("plugin foo is in use")), errdefs.IsConflict},
		{"invalid", class.InvalidParameter(errors.New("setting \"x\" not found")), errdefs.IsInvalidArgument},
		{"not implemented", class.NotImplemented(errors.New("not on this system")), errdefs.IsNotImplemented},
		{"unavailable", class.Unavailable(errors.New("shutting down")), errdefs.IsUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := dial(t, &recorder{err: tc.err}).PluginEnable(ctx, "foo", types.PluginEnableOptions{})
			assert.Check(t, is.Error(err, "Error response from daemon: "+tc.err.Error()))
			assert.Check(t, tc.is(err))
		})
	}
}

// refusing answers create without reading the build context.
type refusing struct{ *recorder }

func (r refusing) CreateFromContext(context.Context, io.ReadCloser, *types.PluginCreateOptions) error {
	return class.Conflict(errors.New("plugin foo exists already"))
}

func TestDockersClientReadsARefusalOfALargeContext(t *testing.T) {
	const large = 64 << 20
	sent := &io.LimitedReader{R: zeros{}, N: large}
	err := dial(t, refusing{}).PluginCreate(context.Background(), sent, types.PluginCreateOptions{RepoName: "foo"})
	assert.Error(t, err, "Error response from daemon: plugin foo exists already")
	assert.Equal(t, sent.N, int64(0)) // the client sent all of it without an error
}

func TestDockersClientReadsARefusalOfAHugeContext(t *testing.T) {
	huge := io.LimitReader(zeros{}, 4*discardLimit)
	err := dial(t, refusing{}).PluginCreate(context.Background(), huge, types.PluginCreateOptions{RepoName: "foo"})
	assert.Error(t, err, "Error response from daemon: plugin foo exists already")
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
