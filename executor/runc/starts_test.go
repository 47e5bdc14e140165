// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc

import (
	"os"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

func awaitPID(t *testing.T, started <-chan int, want int) {
	t.Helper()
	select {
	case pid := <-started:
		assert.Equal(t, pid, want)
	case <-time.After(20 * time.Second):
		t.Fatal("the PID file was not reported")
	}
}

func TestStarts(t *testing.T) {
	s := newPidWatcher()
	defer s.close()
	tests := []struct {
		name  string
		write func(b bundle) error
	}{
		{"as runc writes it", func(b bundle) error {
			if err := os.WriteFile(string(b)+"/.pid", []byte("42"), 0o600); err != nil {
				return err
			}
			return os.Rename(string(b)+"/.pid", b.pidFile())
		}},
		{"as crun writes it", func(b bundle) error {
			file, err := os.Create(b.pidFile())
			if err != nil {
				return err
			}
			defer file.Close()
			// Other events in the bundle are not a start.
			if err := os.WriteFile(b.log(), []byte("7"), 0o600); err != nil {
				return err
			}
			_, err = file.WriteString("42\n")
			return err
		}},
		{"though events were lost", func(b bundle) error {
			if err := s.watcher.Remove(string(b)); err != nil {
				return err
			}
			if err := os.WriteFile(b.pidFile(), []byte("42"), 0o600); err != nil {
				return err
			}
			s.checkAll()
			return nil
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, other := bundle(t.TempDir()), bundle(t.TempDir())
			quiet, unwatchOther := s.expect(other)
			started, unwatch := s.expect(b)
			assert.NilError(t, test.write(b))
			awaitPID(t, started, 42)
			unwatch()
			unwatchOther()
			assert.Equal(t, len(quiet), 0)
			assert.Equal(t, len(s.waiting), 0)
		})
	}
}

// A host has few inotify instances, and few watches. Without them starts are
// seen all the same.
func TestStartsWithoutInotify(t *testing.T) {
	lacking := map[string]func() *pidWatcher{
		"no instance": func() *pidWatcher {
			s := &pidWatcher{done: make(chan struct{}), waiting: make(map[bundle]chan int)}
			close(s.done)
			return s
		},
		"no watch": func() *pidWatcher {
			s := newPidWatcher()
			s.watcher.Close() // then Add fails
			return s
		},
	}
	for name, make := range lacking {
		t.Run(name, func(t *testing.T) {
			s, b := make(), bundle(t.TempDir())
			defer s.close()
			started, unwatch := s.expect(b)
			assert.NilError(t, os.WriteFile(b.pidFile(), []byte("42"), 0o600))
			awaitPID(t, started, 42)
			unwatch()
			assert.Equal(t, len(s.waiting), 0)
		})
	}
}
