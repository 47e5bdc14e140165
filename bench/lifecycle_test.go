// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/bench/internal/subject"
	"github.com/dovetailhq/plugin/plugintest"
)

// BenchmarkEnableDisable uses an executor that is ready at once.
func BenchmarkEnableDisable(b *testing.B) {
	forEach(b, func(b *testing.B, start subject.Start) {
		m := newManager(b, start)
		defer m.Shutdown()
		m.create("bench/plugin")
		for b.Loop() {
			m.enable("bench/plugin")
			m.disable("bench/plugin")
		}
	})
}

// BenchmarkBoot starts a manager with enabled plugins, and ends when they run.
func BenchmarkBoot(b *testing.B) {
	for _, plugins := range or([]int{1, 50, 200}, []int{2}) {
		b.Run(name("plugins", plugins), func(b *testing.B) {
			forEach(b, func(b *testing.B, start subject.Start) {
				h := newHost(b)
				h.installEnabled(start, plugins)
				measure(b, func() (func() error, func()) {
					var m *manager
					boot := func() error {
						m = h.start(start)
						return nil
					}
					return boot, func() {
						assert.Equal(b, len(h.executor.Running()), plugins)
						m.Shutdown()
					}
				})
			})
		})
	}
}

// BenchmarkShutdown ends a manager while its plugins ignore SIGTERM. Both
// managers wait ten seconds for them.
func BenchmarkShutdown(b *testing.B) {
	forEach(b, func(b *testing.B, start subject.Start) {
		measure(b, func() (func() error, func()) {
			h := newHost(b)
			h.executor.Behaviour = plugintest.Behaviour{IgnoresSIGTERM: !*small}
			h.installEnabled(start, or(20, 2))
			m := h.start(start)
			shutdown := func() error {
				m.Shutdown()
				return nil
			}
			return shutdown, func() { assert.Equal(b, len(h.executor.Running()), 0) }
		})
	})
}

// installEnabled makes plugins and writes the desired state enabled into their
// records: enabling so many takes docker's manager minutes.
func (h *host) installEnabled(start subject.Start, plugins int) {
	h.b.Helper()
	m := h.start(start)
	for i := range plugins {
		m.create(numbered(i))
	}
	m.Shutdown()
	records, err := filepath.Glob(filepath.Join(h.config.Root, strings.Repeat("[0-9a-f]", 64), "config.json"))
	assert.NilError(h.b, err)
	assert.Equal(h.b, len(records), plugins)
	for _, record := range records {
		writeEnabled(h.b, record)
	}
}

func writeEnabled(b *testing.B, path string) {
	b.Helper()
	data, err := os.ReadFile(path)
	assert.NilError(b, err)
	var record map[string]json.RawMessage
	assert.NilError(b, json.Unmarshal(data, &record))
	var p types.Plugin
	assert.NilError(b, json.Unmarshal(record["plugin"], &p))
	p.Enabled = true
	record["plugin"], err = json.Marshal(p)
	assert.NilError(b, err)
	data, err = json.Marshal(record)
	assert.NilError(b, err)
	assert.NilError(b, os.WriteFile(path, data, 0o600))
}
