// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// login writes a docker config with an account at a registry.
func login(t *testing.T, config string) {
	t.Helper()
	directory := t.TempDir()
	assert.NilError(t, os.WriteFile(filepath.Join(directory, "config.json"), []byte(config), 0o600))
	t.Setenv("DOCKER_CONFIG", directory)
}

// A plugin for several platforms is pushed as an index with its plugins, with the
// account of docker login.
func TestBuildPush(t *testing.T) {
	registry := fake.New()
	registry.Auth = &fake.Auth{User: "user", Password: "secret"}
	host := registry.Start(t)
	login(t, `{"auths":{"`+host+`":{"auth":"dXNlcjpzZWNyZXQ="}}}`)
	source, other := pluginSource(t, "/plugin"), pluginSource(t, "/other")
	out, problems, err := buildCommand(t, "--push", host+"/group/plugin:1", "linux/amd64="+source, "linux/arm64="+other)
	assert.NilError(t, err)
	mediaType, data := registry.Manifest("group/plugin", "1")
	assert.Equal(t, mediaType, "application/vnd.docker.distribution.manifest.list.v2+json")
	var index ocispec.Index
	assert.NilError(t, json.Unmarshal(data, &index))
	assert.Equal(t, len(index.Manifests), 2)
	for _, variant := range index.Manifests {
		childType, child := registry.Manifest("group/plugin", variant.Digest.String())
		assert.Equal(t, childType, variant.MediaType)
		var manifest ocispec.Manifest
		assert.NilError(t, json.Unmarshal(child, &manifest))
		assert.Check(t, registry.Has("group/plugin", manifest.Config.Digest))
		assert.Check(t, registry.Has("group/plugin", manifest.Layers[0].Digest))
	}
	assert.Check(t, strings.Contains(problems, ": Pushed\n"), problems)
	assert.Check(t, strings.Contains(problems, strings.TrimSpace(out)), "%s lacks %s", problems, out)
}

func TestBuildPushErrors(t *testing.T) {
	registry := fake.New()
	registry.Auth = &fake.Auth{User: "user", Password: "secret"}
	host := registry.Start(t)
	source := pluginSource(t, "/plugin")
	for name, tt := range map[string]struct{ config, push, want string }{
		"no account":    {`{}`, host + "/p", "401 Unauthorized"},
		"bad config":    {`{`, host + "/p", "read accounts in "},
		"bad name":      {`{}`, "A B", `--push "A B"`},
		"with a digest": {`{}`, host + "/p@sha256:" + strings.Repeat("0", 64), "use a tag"},
		"no helper":     {`{"credsStore":"absent"}`, host + "/p", "ask docker-credential-absent for the account at " + host},
	} {
		t.Run(name, func(t *testing.T) {
			login(t, tt.config)
			_, _, err := buildCommand(t, "--push", tt.push, source)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestAccounts(t *testing.T) {
	helpers := t.TempDir()
	for name, script := range map[string]string{
		"user":   `read host; echo "{\"Username\":\"of $host\",\"Secret\":\"s\"}"`,
		"token":  `echo '{"Username":"<token>","Secret":"t"}'`,
		"none":   `echo 'credentials not found in native keychain'; exit 1`,
		"broken": `echo nonsense`,
		"large":  `yes`,
	} {
		assert.NilError(t, os.WriteFile(filepath.Join(helpers, "docker-credential-"+name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	t.Setenv("PATH", helpers+":"+os.Getenv("PATH"))
	for name, tt := range map[string]struct {
		config, ref string
		user, token string
		none        bool
		want        string
	}{
		"stored":           {config: `{"auths":{"example.com:5000":{"username":"u","password":"p"}}}`, ref: "example.com:5000/p", user: "u"},
		"stored by URL":    {config: `{"auths":{"https://example.com/v1/":{"username":"u"}}}`, ref: "example.com/p", user: "u"},
		"docker hub":       {config: `{"auths":{"https://index.docker.io/v1/":{"username":"u"}}}`, ref: "group/p", user: "u"},
		"other host":       {config: `{"auths":{"example.com":{"username":"u"}}}`, ref: "example.org/p", none: true},
		"helper":           {config: `{"credsStore":"user"}`, ref: "example.com/p", user: "of example.com"},
		"helper of a host": {config: `{"credsStore":"broken","credHelpers":{"example.com":"user"}}`, ref: "example.com/p", user: "of example.com"},
		"docker hub's":     {config: `{"credsStore":"user"}`, ref: "group/p", user: "of https://index.docker.io/v1/"},
		"token":            {config: `{"credsStore":"token"}`, ref: "example.com/p", token: "t"},
		"helper has none":  {config: `{"credsStore":"none"}`, ref: "example.com/p", none: true},
		"broken helper":    {config: `{"credsStore":"broken"}`, ref: "example.com/p", want: "read the answer of docker-credential-broken"},
		"endless helper":   {config: `{"credsStore":"large"}`, ref: "example.com/p", want: "docker-credential-large"},
		"helper by path":   {config: `{"credsStore":"../x"}`, ref: "example.com/p", want: "use a name without slashes"},
	} {
		t.Run(name, func(t *testing.T) {
			login(t, tt.config)
			config, err := readDockerConfig()
			assert.NilError(t, err)
			ref, err := reference.ParseNormalizedNamed(tt.ref)
			assert.NilError(t, err)
			account, err := config.account(t.Context(), ref)
			if tt.want != "" {
				assert.ErrorContains(t, err, tt.want)
				return
			}
			assert.NilError(t, err)
			assert.Equal(t, account == nil, tt.none)
			if account != nil {
				assert.Equal(t, account.Username, tt.user)
				assert.Equal(t, account.IdentityToken, tt.token)
			}
		})
	}
	t.Setenv("DOCKER_CONFIG", filepath.Join(helpers, "absent"))
	config, err := readDockerConfig()
	assert.NilError(t, err)
	assert.Equal(t, len(config.Auths), 0)
}

// openRoot opens the plugins below a root of plugind.
func openRoot(t *testing.T, root string) *plugin.Manager {
	t.Helper()
	m, err := plugin.NewManager(plugin.ManagerConfig{
		Store:          plugin.NewStore(),
		Root:           filepath.Join(root, "plugins"),
		ExecRoot:       filepath.Join(root, "exec"),
		CreateExecutor: new(plugintest.Executor).Creator(),
	})
	assert.NilError(t, err)
	return m
}

// An install leaves the plugins of a root as they are, and the installed one can be
// enabled.
func TestBuildInstall(t *testing.T) {
	testenv.NeedsRoot(t, "unpacking")
	root, err := os.MkdirTemp("", "b") // short, because sockets are below it
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(root)) })
	source := pluginSource(t, "/plugin")
	_, _, err = buildCommand(t, "--install", "first", "--root", root, source)
	assert.NilError(t, err)
	m := openRoot(t, root)
	assert.NilError(t, m.Enable("first", &backend.PluginEnableConfig{}))
	m.Shutdown()

	output := filepath.Join(t.TempDir(), "plugin.tar")
	out, _, err := buildCommand(t, "--install", "second:1", "--root", root, "--output", output, source)
	assert.NilError(t, err)
	_, _, err = buildCommand(t, "--install", "second:1", "--root", root, source)
	assert.ErrorContains(t, err, "already")
	m = openRoot(t, root)
	defer m.Shutdown()
	list, err := m.List(filters.NewArgs())
	assert.NilError(t, err)
	state := map[string]bool{}
	for _, p := range list {
		state[p.Name] = p.Enabled
	}
	assert.DeepEqual(t, state, map[string]bool{"first:latest": true, "second:1": false})
	second, err := m.Get("second:1")
	assert.NilError(t, err)
	assert.Equal(t, string(second.Manifest), strings.TrimSpace(out))
	assert.NilError(t, m.Enable("second:1", &backend.PluginEnableConfig{}))
}
