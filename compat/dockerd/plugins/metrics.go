// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// metrics writes the daemon's metrics to /metrics in its rootfs.
var metrics = handlers{
	"/MetricsCollector.StartMetrics": func(*http.Request) (any, error) { return struct{}{}, collect() },
}

// collect reads the daemon's metrics once.
func collect() error {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", "/run/docker/metrics.sock")
	}}}
	response, err := client.Get("http://daemon/metrics")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), "engine_daemon_engine_info") {
		return fmt.Errorf("the daemon shows no metrics of its engine")
	}
	return os.WriteFile("/metrics", text, 0o644)
}
