package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"gotest.tools/v3/assert"
)

// FuzzNames: any name that a new plugin is to have is refused as such, or is
// one that finds the plugin again; any reference is looked up without harm.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"", "p", "a/b:c", "a.example:5000/p", "P", "../p", "p@" + fuzzedDigest, "p:t@" + fuzzedDigest, fullID("a"), fullID("a")[:12]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ps := NewStore()
		assert.NilError(t, ps.Add(stored(fullID("a"), "taken:latest", true, "volumedriver")))
		found, err := ps.GetV2Plugin(text)
		if err != nil {
			assert.Assert(t, cerrdefs.IsNotFound(err) || cerrdefs.IsInvalidArgument(err), "%v", err)
		} else {
			assert.Assert(t, strings.HasPrefix(found.GetID(), text) || strings.Contains(text, "taken"), "%q found the plugin", text)
		}

		name, err := createName(text)
		if err != nil {
			assert.Assert(t, cerrdefs.IsInvalidArgument(err), "%v", err)
			return
		}
		again, err := createName(name)
		assert.NilError(t, err)
		assert.Equal(t, again, name)
		named, err := reference.ParseNormalizedNamed(text)
		assert.NilError(t, err)
		pulled, err := pullName(named, "")
		assert.NilError(t, err)
		assert.Equal(t, pulled, name)

		if name != "taken:latest" {
			assert.NilError(t, ps.Add(stored(fullID("b"), name, true, "volumedriver")))
			found, err = ps.GetV2Plugin(name)
			assert.NilError(t, err)
			assert.Equal(t, found.Name(), name)
		}
	})
}

const fuzzedDigest = "sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// FuzzLegacy: any file of a legacy plugin is read, or refused with a typed
// error, at once; no name is looked for outside the directories of such files.
func FuzzLegacy(f *testing.F) {
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
		err := new(legacy).find(name)
		var missing *NotFoundError
		var unreadable *LegacyError
		switch {
		case errors.As(err, &missing):
			assert.Assert(t, cerrdefs.IsNotFound(err))
		case errors.As(err, &unreadable):
			assert.Assert(t, cerrdefs.IsInternal(err))
		default:
			assert.NilError(t, err)
		}
		if err == nil {
			assert.Assert(t, filepath.IsLocal(name), "%q leads out", name)
		}
	})
}
