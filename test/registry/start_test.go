// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"golang.org/x/crypto/bcrypt"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

const (
	user     = "user"
	password = "hunter2"
)

// distribution starts a registry in this process and returns its host.
func distribution(t *testing.T, change ...func(*configuration.Configuration)) string {
	t.Helper()
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"inmemory": nil,
			"delete":   configuration.Parameters{"enabled": true},
		},
	}
	config.Log.Level = "error"
	config.Catalog.MaxEntries = 100
	for _, c := range change {
		c(config)
	}
	ctx, cancel := context.WithCancel(context.Background())
	app := handlers.NewApp(ctx, config)
	server := httptest.NewServer(app)
	t.Cleanup(func() {
		server.Close()
		assert.Check(t, app.Shutdown())
		cancel()
	})
	return strings.TrimPrefix(server.URL, "http://")
}

// withAccount admits only the user.
func withAccount(t *testing.T) func(*configuration.Configuration) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	assert.NilError(t, err)
	file := filepath.Join(t.TempDir(), "htpasswd")
	assert.NilError(t, os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", user, hash), 0o600))
	return func(config *configuration.Configuration) {
		config.Auth = configuration.Auth{"htpasswd": configuration.Parameters{"realm": "test", "path": file}}
	}
}

// mirrorOf makes a pull-through cache of another registry.
func mirrorOf(host string) func(*configuration.Configuration) {
	return func(config *configuration.Configuration) {
		config.Proxy.RemoteURL = "http://" + host
	}
}

// debian starts Debian's registry and returns its host.
func debian(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath("docker-registry")
	if err != nil {
		testenv.Skip(t, "docker-registry is not installed")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: 127.0.0.1:0}\n", dir)
	assert.NilError(t, os.WriteFile(config, []byte(text), 0o600))
	process := exec.Command(binary, "serve", config)
	stderr, err := process.StderrPipe()
	assert.NilError(t, err)
	assert.NilError(t, process.Start())
	lines := bufio.NewScanner(stderr)
	drained := make(chan struct{})
	t.Cleanup(func() {
		assert.Check(t, process.Process.Kill())
		<-drained
		_ = process.Wait() // it was killed
	})
	host := make(chan string, 1)
	go func() {
		defer close(drained)
		defer close(host)
		for lines.Scan() {
			if _, after, ok := strings.Cut(lines.Text(), "listening on "); ok {
				address, _, _ := strings.Cut(after, `"`)
				host <- address
			}
		}
	}()
	address, ok := <-host
	assert.Assert(t, ok, "docker-registry did not listen")
	_, _, err = net.SplitHostPort(address)
	assert.NilError(t, err)
	return address
}

// between is a proxy to a registry that breaks the first answers with a blob.
func between(t *testing.T, host string, after int64, times int) string {
	t.Helper()
	server := httptest.NewServer(&cutter{host: host, after: after, left: times})
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

type cutter struct {
	host  string
	after int64
	left  int
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limit := int64(-1)
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && c.left > 0 {
		c.left--
		limit = c.after
	}
	forward(w, r, c.host, limit)
}
