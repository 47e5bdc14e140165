// SPDX-License-Identifier: Apache-2.0

package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// goModule writes a module with a main package serve and a package lib.
func goModule(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":            "module example.com/x\n",
		"serve/main.go":     "package main\n\nfunc main() { println(1) }\n",
		"serve/config.json": strings.Replace(config, `"entrypoint":["/plugin"],`, "", 1),
		"other/main.go":     "package main\n\nfunc main() { println(2) }\n",
		"lib/lib.go":        "package lib\n",
		"broken/main.go":    "package main\n\nfunc main() { println(x) }\n",
	} {
		path := filepath.Join(top, name)
		assert.NilError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		assert.NilError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return top
}

// A package builds to the same plugin in every directory, for any platform, and its
// program is the entrypoint.
func TestGoPackage(t *testing.T) {
	t.Chdir(goModule(t))
	first := build(t, Options{}, Source{Package: "./serve"})
	assert.DeepEqual(t, first.config.Entrypoint, []string{"/bin/serve"})
	assert.Equal(t, len(first.Warnings), 0, "%v", first.Warnings)
	t.Chdir(goModule(t))
	assert.Equal(t, build(t, Options{}, Source{Package: "./serve"}).Manifest.Digest, first.Manifest.Digest)
	directory := Source{Path: filepath.Join(goModule(t), "serve")}
	assert.Equal(t, build(t, Options{}, directory).Manifest.Digest, first.Manifest.Digest)
	assert.Check(t, build(t, Options{Uncompressed: true}, directory).Manifest.Digest != first.Manifest.Digest)
	arm := ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}
	other := build(t, Options{}, Source{Package: "example.com/x/serve", Platform: &arm})
	assert.Equal(t, len(other.Warnings), 0, "%v", other.Warnings)
	assert.Check(t, other.Manifest.Digest != first.Manifest.Digest)
}

func TestTree(t *testing.T) {
	module, plain := goModule(t), contextDirectory(t)
	for name, tt := range map[string]struct {
		path, want string
		isGo       bool
	}{
		"package":           {filepath.Join(module, "serve"), module, true},
		"without a config":  {filepath.Join(module, "other"), filepath.Join(module, "other"), false},
		"config and rootfs": {plain, plain, false},
		"missing":           {filepath.Join(plain, "gone"), filepath.Join(plain, "gone"), false},
	} {
		t.Run(name, func(t *testing.T) {
			tree, isGo := Source{Path: tt.path}.Tree()
			assert.Equal(t, tree, tt.want)
			assert.Equal(t, isGo, tt.isGo)
		})
	}
	t.Chdir(filepath.Join(module, "serve"))
	tree, isGo := Source{Path: "."}.Tree()
	assert.Equal(t, tree, module)
	assert.Check(t, isGo)
}

// The program is where the config's entrypoint names it.
func TestGoPackageWithAnEntrypoint(t *testing.T) {
	t.Chdir(goModule(t))
	found := build(t, Options{Config: []byte(strings.Replace(config, "/plugin", "/usr/lib/driver", 1))}, Source{Package: "./other"})
	assert.Equal(t, len(found.Warnings), 0, "%v", found.Warnings)
	assert.DeepEqual(t, found.config.Entrypoint, []string{"/usr/lib/driver"})
	_, err := newBuilder(t, Options{Config: []byte("{")}).Build(t.Context(), Source{Package: "./other"})
	assert.Check(t, errdefs.IsInvalidParameter(err), "%v", err)
}

func TestPlaceOf(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                                     "/bin/other",
		`{"entrypoint":["/sbin/x","--flag"]}`:    "/sbin/x",
		`{"entrypoint":["x"],"workdir":"/work"}`: "/bin/x",
		`{"entrypoint":["./x"],"workdir":"/w"}`:  "/w/x",
		`{"entrypoint":["a/x"]}`:                 "/a/x",
		`{"entrypoint":["../../x"]}`:             "/x",
		`{"entrypoint":["/"]}`:                   "/bin/other",
	} {
		place, err := placeOf([]byte(config), "other")
		assert.NilError(t, err)
		assert.Check(t, is.Equal(place, want), config)
	}
	_, err := placeOf([]byte("{"), "other")
	assert.Check(t, errdefs.IsInvalidParameter(err), "%v", err)
}

// A directory can be in a module below that of the working directory, or in none of
// its modules.
func TestGoPackageOfAnotherModule(t *testing.T) {
	top := goModule(t)
	assert.NilError(t, os.WriteFile(filepath.Join(top, "serve", "go.mod"), []byte("module example.com/nested\n"), 0o600))
	t.Chdir(top)
	nested := build(t, Options{}, Source{Package: "./serve"})
	assert.DeepEqual(t, nested.config.Entrypoint, []string{"/bin/nested"})
	t.Chdir(filepath.Join(top, "other"))
	t.Setenv("TMPDIR", ".")
	assert.Equal(t, build(t, Options{}, Source{Package: "../serve"}).Manifest.Digest, nested.Manifest.Digest)
	t.Chdir(t.TempDir())
	assert.Equal(t, build(t, Options{}, Source{Package: filepath.Join(top, "serve")}).Manifest.Digest, nested.Manifest.Digest)
}

func TestGoPackageErrors(t *testing.T) {
	t.Chdir(goModule(t))
	for name, want := range map[string]string{
		"./gone":   "directory not found",
		"./lib":    "no main packages to build",
		"./broken": "undefined: x",
		"./other":  "add " + filepath.Join(mustWorkingDirectory(t), "other", "config.json"),
		"-x":       "it begins with a hyphen",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newBuilder(t, Options{}).Build(t.Context(), Source{Package: name})
			assert.Check(t, errdefs.IsInvalidParameter(err), "%v", err)
			assert.ErrorContains(t, err, want)
		})
	}
}

func mustWorkingDirectory(t *testing.T) string {
	t.Helper()
	directory, err := os.Getwd()
	assert.NilError(t, err)
	return directory
}

func TestLast(t *testing.T) {
	assert.Equal(t, last(" short\n"), "short")
	long := strings.Repeat("line\n", maxOutput)
	assert.Check(t, len(last(long)) < maxOutput)
	assert.Check(t, strings.HasPrefix(last(long), "line\n"))
}
