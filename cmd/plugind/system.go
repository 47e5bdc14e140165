// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/docker/docker/api"
	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/server/router"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/api/types/system"
	"golang.org/x/sys/unix"
)

// version returns the module's version, as the go command recorded it.
func version() string {
	build, ok := debug.ReadBuildInfo()
	if !ok || build.Main.Version == "" {
		return "(devel)"
	}
	return build.Main.Version
}

// newSystemRouter returns the endpoints that docker clients expect of any
// daemon.
func newSystemRouter(d *daemon) router.Router {
	return routes{
		router.NewGetRoute("/_ping", ping),
		router.NewHeadRoute("/_ping", ping),
		router.NewGetRoute("/version", getVersion),
		router.NewGetRoute("/info", d.getInfo),
	}
}

// ping answers with the headers from which clients learn the API version.
func ping(_ context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	w.Header().Set("Cache-Control", "no-cache, no-store, must-revalidate")
	w.Header().Set("Pragma", "no-cache")
	w.Header().Set("Swarm", string(swarm.LocalNodeStateInactive))
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Length", "0")
		return nil
	}
	_, err := w.Write([]byte("OK"))
	return err
}

func getVersion(_ context.Context, w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
	answer := types.Version{
		Version:       version(),
		APIVersion:    api.DefaultVersion,
		MinAPIVersion: api.MinSupportedAPIVersion,
		GoVersion:     runtime.Version(),
		Os:            runtime.GOOS,
		Arch:          runtime.GOARCH,
		KernelVersion: kernelRelease(),
	}
	answer.Platform.Name = "plugind"
	answer.Components = []types.ComponentVersion{{
		Name:    "Engine", // clients look the daemon's own version up by this name
		Version: answer.Version,
		Details: map[string]string{
			"ApiVersion":    answer.APIVersion,
			"MinAPIVersion": answer.MinAPIVersion,
			"GoVersion":     answer.GoVersion,
			"Os":            answer.Os,
			"Arch":          answer.Arch,
			"KernelVersion": answer.KernelVersion,
		},
	}}
	return httputils.WriteJSON(w, http.StatusOK, answer)
}

func (d *daemon) getInfo(_ context.Context, w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	shortRuntime := filepath.Base(d.options.runtime)
	answer := system.Info{
		Name:               name,
		ServerVersion:      version(),
		OSType:             runtime.GOOS,
		Architecture:       architecture(),
		KernelVersion:      kernelRelease(),
		NCPU:               runtime.NumCPU(),
		NGoroutines:        runtime.NumGoroutine(),
		SystemTime:         time.Now().Format(time.RFC3339Nano),
		DockerRootDir:      d.options.root,
		LiveRestoreEnabled: d.options.liveRestore,
		RegistryConfig:     d.registry.ServiceConfig(),
		DefaultRuntime:     shortRuntime,
		Runtimes:           map[string]system.RuntimeWithStatus{shortRuntime: {Runtime: system.Runtime{Path: d.options.runtime}}},
		Plugins:            system.PluginsInfo{Volume: d.volumes.GetDriverList()},
		Swarm:              swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive},
	}
	for _, found := range d.store.GetAllManagedPluginsByCap("volumedriver") {
		answer.Plugins.Volume = append(answer.Plugins.Volume, found.Name())
	}
	return httputils.WriteJSON(w, http.StatusOK, answer)
}

func kernelRelease() string { return uname(func(n *unix.Utsname) []byte { return n.Release[:] }) }

// architecture returns the kernel's name of it, such as x86_64, as docker does.
func architecture() string {
	return cmp.Or(uname(func(n *unix.Utsname) []byte { return n.Machine[:] }), runtime.GOARCH)
}

func uname(field func(*unix.Utsname) []byte) string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(field(&name))
}
