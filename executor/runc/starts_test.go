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
		t.Fatal("nobody told of the pid file")
	}
}

func TestStarts(t *testing.T) {
	s, err := newStarts()
	assert.NilError(t, err)
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
			// Whatever else happens in the bundle is no start.
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
			quiet, forgetOther, err := s.expect(other)
			assert.NilError(t, err)
			started, forget, err := s.expect(b)
			assert.NilError(t, err)
			assert.NilError(t, test.write(b))
			awaitPID(t, started, 42)
			forget()
			forgetOther()
			assert.Equal(t, len(quiet), 0)
			assert.Equal(t, len(s.waiting), 0)
		})
	}
}

func TestStartsOfABundleThatIsNotThere(t *testing.T) {
	s, err := newStarts()
	assert.NilError(t, err)
	defer s.close()
	_, _, err = s.expect(bundle(t.TempDir() + "/none"))
	assert.ErrorContains(t, err, "/none")
	assert.Equal(t, len(s.waiting), 0)
}
