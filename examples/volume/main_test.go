// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/go-plugins-helpers/volume"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestServesDockersProtocolUntilItIsStopped(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", address)
	assert.NilError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	driver := open(t, t.TempDir())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, driver) }()

	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", address)
		},
	}}
	for _, tc := range []struct{ path, body, want string }{
		{"/Plugin.Activate", `{}`, `{"Implements": ["VolumeDriver"]}`},
		{"/VolumeDriver.Create", `{"Name":"data"}`, `{}`},
		{"/VolumeDriver.Create", `{"Name":"memory","Opts":{"size":"0"}}`, `{"Err":"option size=0: want a number with k, m or g"}`},
		{"/VolumeDriver.Capabilities", `{}`, `{"Capabilities":{"Scope":"local"}}`},
	} {
		answer, err := client.Post("http://plugin"+tc.path, "application/json", strings.NewReader(tc.body))
		assert.NilError(t, err)
		var got bytes.Buffer
		_, err = got.ReadFrom(answer.Body)
		assert.NilError(t, err)
		assert.NilError(t, answer.Body.Close())
		assert.Check(t, is.Equal(strings.TrimSpace(got.String()), tc.want))
	}

	stop()
	assert.NilError(t, <-ended)
}

func TestFlags(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		mode os.FileMode
		err  string
	}{
		{"none", nil, 0o755, ""},
		{"mode", []string{"--mode=0700"}, 0o700, ""},
		{"mode in two words", []string{"--mode", "700"}, 0o700, ""},
		{"mode that is none", []string{"--mode=rwx"}, 0, "read --mode"},
		{"mode of too many bits", []string{"--mode=04755"}, 0, "read --mode"},
		{"unknown", []string{"--frob"}, 0, "flag provided but not defined: -frob"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mode, err := parseFlags(tc.args)
			if tc.err != "" {
				assert.ErrorContains(t, err, tc.err)
				return
			}
			assert.NilError(t, err)
			assert.Equal(t, mode, tc.mode)
		})
	}
}

func TestDefaults(t *testing.T) {
	for _, tc := range []struct {
		name    string
		content string
		want    options
		err     string
	}{
		{"empty, as /dev/null is", "", options{}, ""},
		{"size", "# in memory\n\nsize = 16m\n", options{Size: "16m"}, ""},
		{"unknown", "color=red\n", options{}, `read defaults: unknown option "color"`},
		{"no value", "size\n", options{}, "read defaults: option size=: want a number"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "defaults")
			write(t, path, tc.content)
			got, err := readDefaults(path)
			if tc.err != "" {
				assert.ErrorContains(t, err, tc.err)
				return
			}
			assert.NilError(t, err)
			assert.Equal(t, got, tc.want)
		})
	}
	none, err := readDefaults(filepath.Join(t.TempDir(), "absent"))
	assert.NilError(t, err)
	assert.Equal(t, none, options{})
	given, err := parseOptions(map[string]string{"size": "2m"}, options{Size: "1m"})
	assert.NilError(t, err)
	assert.Equal(t, given.Size, "2m")
}

func TestLogHasFailuresAndOnDemandTheRest(t *testing.T) {
	for _, tc := range []struct {
		name    string
		verbose bool
		want    string
	}{
		{"quiet", false, "remove data: no volume data\n"},
		{"verbose", true, "create data\nmount data\nunmount data\nremove data\nremove data: no volume data\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var lines bytes.Buffer
			log.SetOutput(&lines)
			defer log.SetOutput(os.Stderr)
			log.SetFlags(0)

			driver := logged(open(t, t.TempDir()), tc.verbose)
			assert.NilError(t, driver.Create(&volume.CreateRequest{Name: "data"}))
			_, err := driver.Mount(&volume.MountRequest{Name: "data", ID: "one"})
			assert.NilError(t, err)
			assert.NilError(t, driver.Unmount(&volume.UnmountRequest{Name: "data", ID: "one"}))
			assert.NilError(t, driver.Remove(&volume.RemoveRequest{Name: "data"}))
			assert.ErrorContains(t, driver.Remove(&volume.RemoveRequest{Name: "data"}), "no volume data")
			assert.Equal(t, lines.String(), tc.want)
		})
	}
}

// TestConfigNamesWhatTheDriverUses compares config.json with the code.
func TestConfigNamesWhatTheDriverUses(t *testing.T) {
	var config struct {
		Entrypoint      []string
		PropagatedMount string
		Interface       struct {
			Types  []string
			Socket string
		}
		Env    []struct{ Name string }
		Mounts []struct{ Destination string }
	}
	assert.NilError(t, json.Unmarshal([]byte(read(t, "config.json")), &config))
	assert.DeepEqual(t, config.Entrypoint, []string{"/bin/volume-driver"})
	assert.DeepEqual(t, config.Interface.Types, []string{"docker.volumedriver/1.0"})
	assert.Equal(t, config.PropagatedMount, root)
	assert.Equal(t, "/run/docker/plugins/"+config.Interface.Socket, socket)
	assert.Equal(t, config.Env[0].Name, "DEBUG")
	assert.Equal(t, config.Mounts[0].Destination, defaultsFile)
}
