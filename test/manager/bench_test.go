//go:build linux

package plugin_test

import (
	"fmt"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/dovetailhq/plugin"
)

// BenchmarkEnableDisable runs with an executor that is ready at once: what is
// measured is the manager, and its writes to disk.
func BenchmarkEnableDisable(b *testing.B) {
	w := newWorld(b).start()
	id := w.create("bench", "docker.volumedriver/1.0")
	for b.Loop() {
		if err := w.Enable(id, nil); err != nil {
			b.Fatal(err)
		}
		if err := w.Disable(id, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBoot starts a manager with plugins that are wished to run.
func BenchmarkBoot(b *testing.B) {
	logrus.SetLevel(logrus.FatalLevel)
	for _, plugins := range []int{1, 50, 200} {
		b.Run(fmt.Sprint(plugins), func(b *testing.B) {
			w := newWorld(b).start()
			for i := range plugins {
				w.enable(w.create(fmt.Sprintf("bench%d", i), "docker.volumedriver/1.0"))
			}
			for b.Loop() {
				b.StopTimer()
				w.Shutdown()
				b.StartTimer()
				w.start()
			}
		})
	}
}

// BenchmarkRestart measures from a plugin's first crash until it is ready
// again, with the default wait in between.
func BenchmarkRestart(b *testing.B) {
	w := newWorld(b)
	w.config.Backoff = 0
	w.start()
	id := w.create("bench", "docker.volumedriver/1.0")
	events, cancel := w.SubscribeEvents(1, plugin.EventRestarted{})
	defer cancel()
	for b.Loop() {
		b.StopTimer()
		w.enable(id)
		b.StartTimer()
		if err := w.executor.Exit(id, 1); err != nil {
			b.Fatal(err)
		}
		<-events
		b.StopTimer()
		if err := w.Disable(id, nil); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
