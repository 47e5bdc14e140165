// SPDX-License-Identifier: Apache-2.0

// Command plugins is the program of all plugins in the stories. Its argument is
// the kind of plugin. With "legacy" it is a plugin of the first generation, which
// runs outside of any daemon.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// handlers serves the calls of a kind of plugin.
type handlers map[string]func(r *http.Request) (any, error)

var kinds = map[string]func() handlers{
	"volume":  func() handlers { return newVolumes("/data").handlers() },
	"authz":   func() handlers { return authorization },
	"log":     func() handlers { return newLogs().handlers() },
	"network": func() handlers { return network },
	"metrics": func() handlers { return metrics },
}

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

// run serves a kind of plugin until SIGTERM. The arguments of a legacy plugin are
// "legacy", its directory of volumes, its socket and its kind.
func run(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("name a kind of plugin")
	}
	socket := "/run/docker/plugins/plugin.sock"
	make, ok := kinds[arguments[0]]
	if arguments[0] == "legacy" && len(arguments) == 4 {
		socket = arguments[2]
		make, ok = kinds[arguments[3]], true
		if arguments[3] == "volume" {
			make = func() handlers { return newVolumes(arguments[1]).handlers() }
		}
	}
	if !ok || make == nil {
		return fmt.Errorf("%q is not a kind of plugin", arguments)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log.Printf("version %s serves", os.Getenv("VERSION"))
	return serve(ctx, socket, make())
}

func serve(ctx context.Context, socket string, calls handlers) error {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return err
	}
	_ = os.Remove(socket) // of a process that was killed
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: calls}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}

// ServeHTTP answers a call as docker's plugins do. Calls that a plugin does not
// know are answered with success, which suits all of docker's optional ones.
func (h handlers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if streamed(w, r) {
		return
	}
	var answer any = struct{}{}
	if call, ok := h[r.URL.Path]; ok {
		var err error
		if answer, err = call(r); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			answer = map[string]string{"Err": err.Error()}
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// asked decodes the body of a call.
func asked[T any](r *http.Request) (request T, err error) {
	err = json.NewDecoder(r.Body).Decode(&request)
	return request, err
}
