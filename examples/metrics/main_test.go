// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/docker/docker/pkg/plugins"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/examples/internal/trial"
)

// TestPlugin reads a daemon's metrics through the plugin. The daemon prepares as
// dockerd does.
func TestPlugin(t *testing.T) {
	trial.InNamespace(t, func(t *testing.T) {
		setUpLoopback(t)
		daemon := trial.NewDaemon(t)
		path := filepath.Join(t.TempDir(), "metrics.sock")
		serveMetrics(t, path)
		daemon.Store.RegisterRuntimeOpt("MetricsCollector", plugin.WithSpecMounts([]specs.Mount{
			{Type: "bind", Source: path, Destination: "/run/docker/metrics.sock", Options: []string{"bind", "ro"}},
		}))
		started := make(chan error, 1)
		daemon.Store.Handle("MetricsCollector", func(_ string, client *plugins.Client) {
			started <- client.Call("/MetricsCollector.StartMetrics", nil, nil)
		})

		daemon.Install("example/metrics")
		assert.NilError(t, daemon.Manager.Set("example/metrics", []string{"ADDRESS=127.0.0.1:80"}))
		daemon.Enable("example/metrics")
		assert.NilError(t, <-started)
		get(t, http.StatusOK, "engine 1\n")
		assert.NilError(t, daemon.Caller("example/metrics", "MetricsCollector").Call("StopMetrics", nil, nil))
		get(t, http.StatusServiceUnavailable, "the daemon has not started its metrics\n")
		daemon.Remove("example/metrics")
	})
}

func setUpLoopback(t *testing.T) {
	t.Helper()
	loopback, err := netlink.LinkByName("lo")
	assert.NilError(t, err)
	assert.NilError(t, netlink.LinkSetUp(loopback))
}

// serveMetrics serves metrics on a socket until the test ends.
func serveMetrics(t *testing.T, path string) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	assert.NilError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "engine 1") })
	server := &http.Server{Handler: mux}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		assert.Check(t, server.Close())
		assert.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
}

// get reads the metrics as Prometheus does.
func get(t *testing.T, status int, body string) {
	t.Helper()
	response, err := http.Get("http://127.0.0.1/metrics")
	assert.NilError(t, err)
	defer response.Body.Close()
	assert.Equal(t, response.StatusCode, status)
	content, err := io.ReadAll(response.Body)
	assert.NilError(t, err)
	assert.Equal(t, string(content), body)
}
