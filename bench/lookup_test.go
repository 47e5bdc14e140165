// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"testing"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/pkg/plugingetter"
	"gotest.tools/v3/assert"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/bench/internal/subject"
	"github.com/dovetailhq/plugin/bench/internal/workload"
	"github.com/dovetailhq/plugin/plugintest"
)

// BenchmarkLookup finds a plugin among many enabled ones.
func BenchmarkLookup(b *testing.B) {
	for _, plugins := range or([]int{10, 1000, 10000}, []int{10}) {
		wanted := plugins / 2
		for _, by := range []struct {
			name string
			find func(subject.Store) error
		}{
			{"name", func(s subject.Store) error { return s.Lookup(numbered(wanted)) }},
			{"prefix", func(s subject.Store) error { return s.Lookup(workload.ID(wanted)[:12]) }},
			{"capability", func(s subject.Store) error {
				_, err := s.Get(numbered(wanted), "volumedriver", plugingetter.Lookup)
				return err
			}},
			{"missing-capability", func(s subject.Store) error {
				if found := s.GetAllManagedPluginsByCap("networkdriver"); len(found) > 0 {
					return fmt.Errorf("found %d plugins that are not there", len(found))
				}
				return nil
			}},
		} {
			b.Run(name("by", by.name)+"/"+name("plugins", plugins), func(b *testing.B) {
				forEach(b, func(b *testing.B, start subject.Start) {
					m := newManager(b, start)
					defer m.Shutdown()
					m.Store().Fill(many(plugins))
					defer m.Store().Fill(nil)
					for b.Loop() {
						if err := by.find(m.Store()); err != nil {
							b.Fatal(err)
						}
					}
				})
			})
		}
	}
}

// BenchmarkList lists all plugins.
func BenchmarkList(b *testing.B) {
	for _, plugins := range or([]int{10, 1000, 10000}, []int{10}) {
		b.Run(name("plugins", plugins), func(b *testing.B) {
			forEach(b, func(b *testing.B, start subject.Start) {
				m := newManager(b, start)
				defer m.Shutdown()
				m.Store().Fill(many(plugins))
				defer m.Store().Fill(nil)
				for b.Loop() {
					list, err := m.List(filters.NewArgs())
					if err != nil || len(list) != plugins {
						b.Fatalf("list of %d: %v", len(list), err)
					}
				}
			})
		})
	}
}

// BenchmarkEvents creates a plugin, and ends when all subscribers have its
// event.
func BenchmarkEvents(b *testing.B) {
	for _, subscribers := range []int{1, 100} {
		b.Run(name("subscribers", subscribers), func(b *testing.B) {
			forEach(b, func(b *testing.B, start subject.Start) {
				m := newManager(b, start)
				defer m.Shutdown()
				var all []<-chan interface{}
				for range subscribers {
					events, cancel := m.Subscribe(10)
					defer cancel()
					all = append(all, events)
				}
				created := 0
				for b.Loop() {
					m.create(numbered(created))
					created++
					for _, events := range all {
						<-events
					}
				}
			})
		})
	}
}

func numbered(i int) string { return fmt.Sprintf("bench/plugin%05d:latest", i) }

func many(plugins int) []types.Plugin {
	all := make([]types.Plugin, plugins)
	for i := range all {
		all[i] = types.Plugin{ID: workload.ID(i), Name: numbered(i), Config: plugintest.Config(volume)}
	}
	return all
}

// Each way of look-up that is measured finds the plugins of a full store, and
// no other way does.
func TestLookupsFind(t *testing.T) {
	all := many(10)
	assert.Equal(t, len(all), 10)
	seen := map[string]bool{}
	for _, p := range all {
		assert.Equal(t, len(p.ID), 64)
		assert.Check(t, !seen[p.ID[:12]], "ids must differ early")
		seen[p.ID[:12]] = true
	}
}
