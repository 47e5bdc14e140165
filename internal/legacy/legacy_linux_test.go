// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// TestLegacyWaitIsDockers holds the zero value to docker's bound.
func TestLegacyWaitIsDockers(t *testing.T) {
	wait, halted := new(Finder).patience()
	assert.Equal(t, wait, 15*time.Second)
	assert.Check(t, halted == nil)
	wait, _ = (*Finder)(nil).patience()
	assert.Equal(t, wait, 15*time.Second)
}

// FuzzFind: any file of a legacy plugin is read, or refused with an error that
// names it, at once; no name is looked for outside the directories of such files.
func FuzzFind(f *testing.F) {
	f.Add("p", true, `{"Name":"p","Addr":"https://127.0.0.1:1","TLSConfig":{"InsecureSkipVerify":false,"CAFile":"/ca.pem"}}`)
	f.Add("p", true, `{"Addr":7}`)
	f.Add("p", false, "unix:///run/p.sock\n")
	f.Add("p", false, "no address")
	f.Add("../../victim", false, "unix:///run/p.sock")
	f.Add("/etc/victim", true, "{}")
	home := f.TempDir()
	f.Setenv("HOME", home)
	f.Setenv("ROOTLESSKIT_STATE_DIR", home) // docker then looks below HOME
	dir := filepath.Join(home, ".local", "lib", "docker", "plugins")
	assert.NilError(f, os.MkdirAll(dir, 0o755))
	f.Fuzz(func(t *testing.T, name string, json bool, content string) {
		extension := ".spec"
		if json {
			extension = ".json"
		}
		// Where the name would lead if it were not looked at.
		path := filepath.Join(dir, name+extension)
		if strings.HasPrefix(path, home+"/") && os.WriteFile(path, []byte(content), 0o600) == nil {
			defer os.Remove(path)
		}
		err := new(Finder).find(name, nil)
		if err != nil && !errors.Is(err, ErrNotFound) {
			assert.Assert(t, is.ErrorContains(err, fmt.Sprintf("read file of %q", name)))
		}
		if err == nil {
			assert.Assert(t, filepath.IsLocal(name), "%q leads out", name)
		}
	})
}
