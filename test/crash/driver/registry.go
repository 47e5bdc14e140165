package main

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	dockerregistry "github.com/docker/docker/registry"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest/registry"
	"github.com/dovetailhq/plugin/test/crash/drive"
)

// managed is a manager with a registry in the same process, which dies with
// it in the middle of a transfer.
type managed struct {
	*plugin.Manager
	host   string
	server *http.Server
}

// serveVersions starts the registry.
func serveVersions() (host string, server *http.Server, err error) {
	versions := registry.New()
	if err := drive.PutVersions(versions); err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server = &http.Server{Handler: versions}
	go func() { _ = server.Serve(listener) }() // until Shutdown or the end of the process
	return listener.Addr().String(), server, nil
}

func (m *managed) reference(version string) (reference.Named, types.PluginPrivileges, error) {
	ref, err := reference.ParseNormalizedNamed(m.host + "/" + drive.Repository + ":" + version)
	if err != nil {
		return nil, nil, err
	}
	grants, err := m.Privileges(context.Background(), ref, nil, nil)
	return ref, grants, err
}

// PullVersion installs a version from the registry.
func (m *managed) PullVersion(version, name string) error {
	ref, grants, err := m.reference(version)
	if err != nil {
		return err
	}
	return m.Pull(context.Background(), ref, name, nil, nil, grants, nil)
}

// UpgradeVersion replaces a plugin by a version from the registry.
func (m *managed) UpgradeVersion(version, name string) error {
	ref, grants, err := m.reference(version)
	if err != nil {
		return err
	}
	return m.Upgrade(context.Background(), ref, name, nil, nil, grants, nil)
}

// Shutdown ends the manager, and then the registry.
func (m *managed) Shutdown() {
	m.Manager.Shutdown()
	_ = m.server.Close() // nobody is served any more
}

// plainEndpoints resolves every host to plain http.
type plainEndpoints struct{}

func (plainEndpoints) LookupPullEndpoints(host string) ([]dockerregistry.APIEndpoint, error) {
	return []dockerregistry.APIEndpoint{{URL: &url.URL{Scheme: "http", Host: host}}}, nil
}
