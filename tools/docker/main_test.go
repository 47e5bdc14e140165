// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/cli/cli"
)

// invoke runs the client with args and returns what it printed to stdout.
func invoke(t *testing.T, args ...string) (string, error) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, before := os.Stdout, os.Args
	os.Stdout, os.Args = write, append([]string{"docker"}, args...)
	runErr := run(context.Background())
	os.Stdout, os.Args = stdout, before
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	printed, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	return string(printed), runErr
}

// daemon answers what plugin and volume ls ask for, on a unix socket.
func daemon(t *testing.T) string {
	t.Helper()
	answers := http.NewServeMux()
	answers.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Api-Version", "1.51")
	})
	answers.HandleFunc("/v1.51/plugins", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"Id":"0123456789abcdef","Name":"example/volume:latest","Enabled":true,"Config":{"Description":"keeps files"}}]`)
	})
	answers.HandleFunc("/v1.51/volumes", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"Volumes":[{"Name":"data","Driver":"example/volume:latest"}]}`)
	})
	address := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: answers}}
	server.Start()
	t.Cleanup(server.Close)
	return "unix://" + address
}

func TestCommandsAreDockersOwn(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	host := daemon(t)
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"plugins", []string{"-H", host, "plugin", "ls", "--format", "{{.ID}} {{.Name}} {{.Enabled}}"}, "0123456789ab example/volume:latest true\n"},
		{"volumes", []string{"-H", host, "volume", "ls", "-q"}, "data\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := invoke(t, tc.args...)
			if err != nil || got != tc.want {
				t.Errorf("got %q and %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"no daemon", []string{"-H", "unix:///nowhere", "plugin", "ls"}, "Cannot connect to the Docker daemon at unix:///nowhere"},
		{"unknown command", []string{"plugin", "frob"}, "unknown command: docker plugin frob"},
		{"unknown flag", []string{"--frob"}, "unknown flag: --frob"},
		{"missing argument", []string{"plugin", "enable"}, "requires 1 argument"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := invoke(t, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestVersionIsThatOfTheCommands(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	if got, err := invoke(t, "--version"); err != nil || got != "Docker version 28.5.2\n" {
		t.Errorf("got %q and %v", got, err)
	}
}

func TestExitCode(t *testing.T) {
	if got := exitCode(errors.New("no")); got != 1 {
		t.Errorf("plain error exits %d", got)
	}
	if got := exitCode(fmt.Errorf("wrapped: %w", cli.StatusError{StatusCode: 125})); got != 125 {
		t.Errorf("status error exits %d", got)
	}
}
