// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/log"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/moby/sys/mount"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/compat/internal/subject"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest"
)

func TestMain(m *testing.M) {
	log.L.Logger.SetOutput(io.Discard) // docker's manager logs nowhere else
	os.Exit(m.Run())
}

// host is a directory that managers use in turn.
type host struct {
	t        *testing.T
	config   subject.Config
	executor *plugintest.Executor
}

func newHost(t *testing.T, liveRestore bool) *host {
	t.Helper()
	testenv.NeedsRoot(t, "mounting")
	t.Chdir(t.TempDir())                    // docker's manager moves things there, see config
	execRoot, err := os.MkdirTemp("", "dt") // a socket's path must be short
	assert.NilError(t, err)
	executor := &plugintest.Executor{}
	h := &host{t: t, executor: executor, config: subject.Config{
		Root:        filepath.Join(t.TempDir(), "plugins"),
		ExecRoot:    execRoot,
		Executor:    executor,
		LiveRestore: liveRestore,
		Log:         func(string, string, events.Action) {},
	}}
	t.Cleanup(func() {
		executor.KillAll()
		assert.Check(t, mount.RecursiveUnmount(h.config.Root)) // live restore leaves mounts
		assert.Check(t, os.RemoveAll(execRoot))
	})
	return h
}

// under starts a manager, calls do, checks the directory if the manager is
// ours, and ends it.
func (h *host) under(start subject.Start, do func(subject.Subject)) {
	h.t.Helper()
	s, err := start(h.config)
	assert.NilError(h.t, err)
	defer s.Shutdown()
	do(s)
	if manager, ok := s.(plugintest.Inventory); ok {
		s.GC() // a removal can leave content to collect
		// Docker's manager makes files in the rootfs of a plugin that it
		// starts.
		check := plugintest.RootCheck{Manager: manager, ExecRoot: h.config.ExecRoot, Executor: h.executor, SelfModifying: true, DockerRecords: true}
		assert.NilError(h.t, plugintest.CheckRoot(h.config.Root, check))
	}
}

// record is the part of a plugin's record that both managers use.
type record struct {
	Plugin           types.Plugin `json:"plugin"`
	Rootfs           string
	Config, Manifest digest.Digest
	Blobsums         []digest.Digest
	SwarmServiceID   string
}

// records returns the records on disk, by name.
func (h *host) records() map[string]record {
	h.t.Helper()
	paths, err := filepath.Glob(filepath.Join(h.config.Root, strings.Repeat("[0-9a-f]", 64), "config.json"))
	assert.NilError(h.t, err)
	records := map[string]record{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		assert.NilError(h.t, err)
		var r record
		assert.NilError(h.t, json.Unmarshal(data, &r))
		// Docker's manager writes it only at the first change.
		assert.Check(h.t, r.Rootfs == "" || r.Rootfs == filepath.Join(filepath.Dir(path), "rootfs"), r.Rootfs)
		records[r.Plugin.Name] = r
	}
	return records
}

// checkBlobs checks that the blobs of all records are stored and match their
// digests. Docker's GC also deletes manifests.
func (h *host) checkBlobs(manifestsToo bool) {
	h.t.Helper()
	for name, r := range h.records() {
		digests := append([]digest.Digest{r.Config}, r.Blobsums...)
		if manifestsToo {
			digests = append(digests, r.Manifest)
		}
		for _, dgst := range digests {
			data, err := os.ReadFile(filepath.Join(h.config.Root, "storage", "blobs", "sha256", dgst.Encoded()))
			assert.NilError(h.t, err, name)
			assert.Equal(h.t, digest.FromBytes(data), dgst, name)
		}
	}
}

func list(t *testing.T, s subject.Subject) map[string]types.Plugin {
	t.Helper()
	found, err := s.List(filters.NewArgs())
	assert.NilError(t, err)
	all := map[string]types.Plugin{}
	for _, p := range found {
		all[p.Name] = p
	}
	return all
}
