// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/distribution/reference"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/registry"
)

// dockerConfig has the members of docker's config.json about accounts, see
// https://docs.docker.com/reference/cli/docker/login/#credential-stores.
type dockerConfig struct {
	Auths       map[string]registrytypes.AuthConfig `json:"auths"`
	Store       string                              `json:"credsStore"`
	StoreByHost map[string]string                   `json:"credHelpers"`
}

// maxDockerConfigBytes bounds docker's config.json, and the answer of a helper.
const maxDockerConfigBytes = 1 << 20

// readDockerConfig reads config.json in DOCKER_CONFIG or in ~/.docker. A missing file
// has no accounts.
func readDockerConfig() (dockerConfig, error) {
	directory := os.Getenv("DOCKER_CONFIG")
	if directory == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return dockerConfig{}, nil //nolint:nilerr // a user without a home has no file there
		}
		directory = filepath.Join(home, ".docker")
	}
	path := filepath.Join(directory, "config.json")
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return dockerConfig{}, nil
	}
	if err != nil {
		return dockerConfig{}, err
	}
	defer file.Close()
	var c dockerConfig
	if err := json.NewDecoder(io.LimitReader(file, maxDockerConfigBytes)).Decode(&c); err != nil {
		return dockerConfig{}, fmt.Errorf("read accounts in %s: %w", path, err)
	}
	return c, nil
}

// account returns the account that docker login stored for the registry of a plugin, or
// nil if there is none.
func (c dockerConfig) account(ctx context.Context, ref reference.Named) (*registrytypes.AuthConfig, error) {
	host := reference.Domain(ref)
	key := host
	if host == registry.IndexName {
		key = registry.IndexServer
	}
	helper := c.StoreByHost[host]
	if helper == "" {
		helper = c.Store
	}
	if helper != "" {
		return askHelper(ctx, helper, key)
	}
	for address, account := range c.Auths {
		if address == key || registry.ConvertToHostname(address) == host {
			account.ServerAddress = host
			return &account, nil
		}
	}
	return nil, nil
}

// helperPatience bounds a credential helper: it can ask a user to unlock a store.
const helperPatience = 2 * time.Minute

// noCredentials is the answer of helpers that have no account:
// https://github.com/docker/docker-credential-helpers/blob/v0.9.3/credentials/error.go
const noCredentials = "credentials not found in native keychain"

// askHelper asks a credential helper for the account of a registry:
// https://github.com/docker/docker-credential-helpers#development
func askHelper(ctx context.Context, name, key string) (*registrytypes.AuthConfig, error) {
	if name != filepath.Base(name) {
		return nil, fmt.Errorf("credential helper %q: use a name without slashes", name)
	}
	ctx, cancel := context.WithTimeout(ctx, helperPatience)
	defer cancel()
	command := exec.CommandContext(ctx, "docker-credential-"+name, "get")
	command.WaitDelay = time.Second
	command.Stdin = strings.NewReader(key)
	var output bytes.Buffer
	command.Stdout = &limitedWriter{w: &output, left: maxDockerConfigBytes}
	err := command.Run()
	if err != nil && strings.TrimSpace(output.String()) == noCredentials {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask docker-credential-%s for the account at %s: %w", name, key, err)
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(output.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("read the answer of docker-credential-%s: %w", name, err)
	}
	account := &registrytypes.AuthConfig{Username: answer.Username, Password: answer.Secret}
	if answer.Username == "<token>" {
		account = &registrytypes.AuthConfig{IdentityToken: answer.Secret}
	}
	return account, nil
}

// limitedWriter fails after some bytes.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errors.New("it wrote too much")
	}
	return l.w.Write(p)
}
