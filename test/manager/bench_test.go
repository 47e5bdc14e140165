// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"fmt"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/dovetailhq/plugin"
)

// BenchmarkEnableDisable measures the manager and its writes to disk: its
// executor is ready at once.
func BenchmarkEnableDisable(b *testing.B) {
	w := newWorld(b).start()
	id := w.Create("bench", "docker.volumedriver/1.0")
	for b.Loop() {
		if err := w.Enable(id, nil); err != nil {
			b.Fatal(err)
		}
		if err := w.Disable(id, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBoot starts a manager with enabled plugins.
func BenchmarkBoot(b *testing.B) {
	logrus.SetLevel(logrus.FatalLevel)
	for _, plugins := range []int{1, 50, 200} {
		b.Run(fmt.Sprint(plugins), func(b *testing.B) {
			w := newWorld(b).start()
			for i := range plugins {
				w.MustEnable(w.Create(fmt.Sprintf("bench%d", i), "docker.volumedriver/1.0"))
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

// BenchmarkRestart measures the time from a plugin's first crash until it is
// ready again, including the default wait.
func BenchmarkRestart(b *testing.B) {
	w := newWorld(b)
	w.Config.Backoff = 0
	w.start()
	id := w.Create("bench", "docker.volumedriver/1.0")
	events, cancel := w.SubscribeEvents(1, plugin.EventRestarted{})
	defer cancel()
	for b.Loop() {
		b.StopTimer()
		w.MustEnable(id)
		b.StartTimer()
		if err := w.Executor.Exit(id, 1); err != nil {
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
