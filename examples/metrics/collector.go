// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
)

// collector forwards requests for /metrics to the daemon, from StartMetrics to
// StopMetrics. It is safe for concurrent use.
type collector struct {
	started atomic.Bool
	daemon  *httputil.ReverseProxy
}

// newCollector returns a collector for the daemon's socket.
func newCollector(source string) *collector {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "daemon"})
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", source)
	}}
	return &collector{daemon: proxy}
}

// ServeHTTP serves Prometheus.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/metrics":
		http.NotFound(w, r)
	case r.Method != http.MethodGet:
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
	case !c.started.Load():
		http.Error(w, "the daemon has not started its metrics", http.StatusServiceUnavailable)
	default:
		c.daemon.ServeHTTP(w, r)
	}
}
