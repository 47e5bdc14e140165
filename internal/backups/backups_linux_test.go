// SPDX-License-Identifier: Apache-2.0

package backups

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/layout"
	v2 "github.com/dovetailhq/plugin/v2"
)

var id = strings.Repeat("ab", 32)

// files are the names and contents of a layer or a rootfs.
type files map[string]string

const (
	unknown   = "unknown"
	restored  = "restored"
	discarded = "discarded"
)

// TestSettle settles upgrades with consistent evidence. It reports upgrades with
// conflicting evidence, and keeps both rootfs.
func TestSettle(t *testing.T) {
	for _, test := range []struct {
		name           string
		layer          files // of the record's manifest
		rootfs, backup files
		newer          bool // the record is newer than the renames
		original       bool // the record names the config of its manifest
		want           string
	}{
		{name: "not committed", layer: files{"bin": "1"}, rootfs: files{"bin": "2"}, backup: files{"bin": "1"}, original: true, want: restored},
		{name: "not committed, data added", layer: files{"bin": "1"}, rootfs: files{"bin": "2"}, backup: files{"bin": "1", "state": "data"}, original: true, want: restored},
		{name: "not committed, data changed", layer: files{"bin": "1", "db": "", "lib": "1"}, rootfs: files{"bin": "2", "db": "", "lib": "2"}, backup: files{"bin": "1", "db": "data", "lib": "1"}, original: true, want: restored},
		{name: "not committed, config alone, data added", layer: files{"bin": "1"}, rootfs: files{"bin": "1"}, backup: files{"bin": "1", "state": "data"}, want: restored},
		{name: "not committed, config alone, data changed", layer: files{"bin": "1", "db": ""}, rootfs: files{"bin": "1", "db": ""}, backup: files{"bin": "1", "db": "data"}, want: unknown},
		{name: "not committed, a file more, data changed", layer: files{"bin": "1", "db": ""}, rootfs: files{"bin": "1", "db": "", "new": "2"}, backup: files{"bin": "1", "db": "data"}, want: unknown},
		{name: "not committed, no match", layer: files{"bin": "1", "db": ""}, rootfs: files{"bin": "2", "db": ""}, backup: files{"bin": "1", "db": "data"}, want: unknown},
		{name: "not committed, restored as a copy", layer: files{"bin": "1", "db": ""}, rootfs: files{"bin": "1", "db": "data"}, backup: files{"bin": "1", "db": "data"}, want: restored},
		{name: "not committed, restored as a copy, layers gone", rootfs: files{"bin": "1"}, backup: files{"bin": "1"}, want: restored},
		{name: "not committed, layers gone", rootfs: files{"bin": "2"}, backup: files{"bin": "1"}, want: unknown},

		{name: "committed", layer: files{"bin": "2"}, rootfs: files{"bin": "2"}, backup: files{"bin": "1"}, newer: true, want: discarded},
		{name: "committed, old rootfs deleted in part", layer: files{"bin": "2"}, rootfs: files{"bin": "2"}, backup: files{}, newer: true, want: discarded},
		{name: "committed, data changed since", layer: files{"bin": "2", "db": "", "lib": "2"}, rootfs: files{"bin": "2", "db": "data", "lib": "2"}, backup: files{"bin": "1", "db": "", "lib": "1"}, newer: true, want: discarded},
		{name: "committed, config alone", layer: files{"bin": "1"}, rootfs: files{"bin": "1"}, backup: files{"bin": "1"}, newer: true, want: discarded},
		{name: "committed, config alone, mount points of a runtime", layer: files{"bin": "1"}, rootfs: files{"bin": "1"}, backup: files{"bin": "1", "hosts": ""}, newer: true, want: discarded},
		{name: "committed, config alone, data in the old rootfs", layer: files{"bin": "1"}, rootfs: files{"bin": "1"}, backup: files{"bin": "1", "state": "data"}, newer: true, want: unknown},
		{name: "committed, config alone, data changed since", layer: files{"bin": "1", "db": ""}, rootfs: files{"bin": "1", "db": "data"}, backup: files{"bin": "1", "db": ""}, newer: true, want: unknown},
		{name: "committed, files less, data changed since", layer: files{"bin": "1", "db": ""}, rootfs: files{"bin": "1", "db": "data"}, backup: files{"bin": "1", "db": "", "gone": "1"}, newer: true, want: unknown},
		{name: "committed, layers gone", rootfs: files{"bin": "2"}, backup: files{"bin": "1"}, newer: true, want: discarded},

		{name: "docker went on", layer: files{"bin": "1"}, rootfs: files{"bin": "2", "state": "data"}, backup: files{"bin": "1"}, newer: true, original: true, want: unknown},
		{name: "docker went on, a file more, data changed before", layer: files{"bin": "1", "db": ""}, rootfs: files{"bin": "1", "db": "", "new": "2"}, backup: files{"bin": "1", "db": "data"}, newer: true, original: true, want: unknown},
		{name: "docker went on, config alone, no data", layer: files{"bin": "1"}, rootfs: files{"bin": "1"}, backup: files{"bin": "1"}, newer: true, original: true, want: discarded},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := layout.Open(t.TempDir(), nil)
			assert.NilError(t, err)
			defer r.Close()
			store, err := blobs.Open(r.Storage(), nil)
			assert.NilError(t, err)
			p := &v2.Plugin{PluginObj: types.Plugin{ID: id}, Manifest: digest.FromString("collected"), Config: digest.FromString("old")}
			if test.layer != nil {
				p.Manifest = publish(t, store, test.layer)
			}
			if test.original {
				p.Config = digest.FromString("{}")
			}
			place(t, r, test.rootfs, test.backup, test.newer)

			wasRestored, err := Settler{Root: r, Blobs: store}.Settle(t.Context(), p)
			backupError := (*layout.BackupError)(nil)
			assert.Equal(t, errors.As(err, &backupError), test.want == unknown, "%v", err)
			assert.Equal(t, wasRestored, test.want == restored)
			want := map[string][2]files{unknown: {test.rootfs, test.backup}, restored: {test.backup}, discarded: {test.rootfs}}[test.want]
			assert.DeepEqual(t, content(t, r.Rootfs(id)), want[0])
			assert.DeepEqual(t, content(t, r.Backup(id)), want[1])
		})
	}
}

// TestSettleKeepsBothIfTheComparisonFails fails a comparison in each way. The record is
// newer than the renames and could decide alone, but docker went on with the old one.
func TestSettleKeepsBothIfTheComparisonFails(t *testing.T) {
	rootfsFiles, backup := files{"bin": "2", "state": "data"}, files{"bin": "1", "state": "precious"}
	for name, spoil := range map[string]func(t *testing.T, s *Settler, manifest digest.Digest) context.Context{
		"disk full": func(t *testing.T, s *Settler, _ digest.Digest) context.Context {
			filler, err := os.Create(filepath.Join(s.Root.Dir(), "filler"))
			assert.NilError(t, err)
			_, err = io.Copy(filler, endless{})
			assert.Check(t, errors.Is(err, syscall.ENOSPC), "%v", err)
			assert.NilError(t, filler.Close())
			return t.Context()
		},
		"limit": func(t *testing.T, s *Settler, _ digest.Digest) context.Context {
			s.Limits.UnpackedBytes = 1000
			return t.Context()
		},
		"manifest is damaged": func(t *testing.T, s *Settler, manifest digest.Digest) context.Context {
			path := filepath.Join(s.Root.Storage(), "blobs", "sha256", manifest.Encoded())
			assert.NilError(t, os.Chmod(path, 0o600))
			assert.NilError(t, os.WriteFile(path, []byte("{}"), 0o600))
			return t.Context()
		},
		"end of context": func(t *testing.T, _ *Settler, _ digest.Digest) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			assert.NilError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"))
			t.Cleanup(func() { assert.Check(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
			r, err := layout.Open(dir, nil)
			assert.NilError(t, err)
			defer r.Close()
			store, err := blobs.Open(r.Storage(), nil)
			assert.NilError(t, err)
			p := &v2.Plugin{PluginObj: types.Plugin{ID: id}, Config: digest.FromString("another")}
			p.Manifest = publish(t, store, files{"bin": strings.Repeat("1", 1<<20)})
			place(t, r, rootfsFiles, backup, true)
			s := Settler{Root: r, Blobs: store}
			ctx := spoil(t, &s, p.Manifest)

			wasRestored, err := s.Settle(ctx, p)
			backupError := (*layout.BackupError)(nil)
			assert.Check(t, errors.As(err, &backupError), "%v", err)
			assert.Check(t, !wasRestored)
			assert.DeepEqual(t, content(t, r.Rootfs(id)), rootfsFiles)
			assert.DeepEqual(t, content(t, r.Backup(id)), backup)
		})
	}
}

// endless is a reader without an end.
type endless struct{}

func (endless) Read(data []byte) (int, error) { return len(data), nil }

// publish stores a layer and a manifest of it.
func publish(t *testing.T, store *blobs.Store, layer files) digest.Digest {
	t.Helper()
	pin := store.NewPin()
	put := func(data []byte) ocispec.Descriptor {
		dgst, err := store.Put(t.Context(), pin, data)
		assert.NilError(t, err)
		return ocispec.Descriptor{Digest: dgst, Size: int64(len(data))}
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, data := range layer {
		assert.NilError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(data))
		assert.NilError(t, err)
	}
	assert.NilError(t, w.Close())
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		Config:    put([]byte("{}")),
		Layers:    []ocispec.Descriptor{put(archive.Bytes())},
	})
	assert.NilError(t, err)
	return put(manifest).Digest
}

// place makes what an interrupted upgrade leaves, with a record of the desired age.
func place(t *testing.T, r *layout.Root, rootfs, backup files, newer bool) {
	t.Helper()
	assert.NilError(t, os.MkdirAll(r.Plugin(id), 0o700))
	record := func() {
		assert.NilError(t, os.WriteFile(filepath.Join(r.Plugin(id), "config.json"), []byte("{}"), 0o600))
	}
	record()
	for dir, all := range map[string]files{r.Rootfs(id): rootfs, r.Backup(id): backup} {
		assert.NilError(t, os.Mkdir(dir, 0o755))
		for name, data := range all {
			assert.NilError(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644))
		}
	}
	// The clock of the file system is coarse.
	for {
		older, err := r.PrecedesBackup(id)
		assert.NilError(t, err)
		if older != newer {
			return
		}
		if newer {
			record()
			continue
		}
		for _, dir := range []string{r.Rootfs(id), r.Backup(id)} {
			assert.NilError(t, os.Rename(dir, dir+".moved"))
			assert.NilError(t, os.Rename(dir+".moved", dir))
		}
	}
}

// content returns the files of a directory, or nil if it does not exist.
func content(t *testing.T, dir string) files {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	assert.NilError(t, err)
	all := files{}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		assert.NilError(t, err)
		all[entry.Name()] = string(data)
	}
	return all
}
