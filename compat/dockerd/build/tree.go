// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	docker    = "github.com/docker/docker"
	dovetail  = "github.com/dovetailhq/plugin"
	itsPlugin = docker + "/plugin"
)

// tree is a writable copy of docker's module. Its programs are in the directory path-bin.
type tree struct{ path, version string }

// program returns the path of a program of the tree.
func (t tree) program(name string) string { return filepath.Join(t.path+"-bin", name) }

// download returns the directory of docker's module in the module cache.
func download(ctx context.Context, version string) (string, error) {
	out, err := output(ctx, os.TempDir(), "go", "mod", "download", "-json", docker+"@v"+version+"+incompatible")
	var module struct{ Dir, Error string }
	if decoded := json.Unmarshal(out, &module); decoded != nil {
		return "", fmt.Errorf("download docker %s: %w", version, errors.Join(err, decoded))
	}
	if module.Error != "" {
		return "", fmt.Errorf("download docker %s: %s", version, module.Error)
	}
	return module.Dir, err
}

// prepare copies docker's module and makes it the main module of a build.
func (t tree) prepare(source string) error {
	if err := os.RemoveAll(t.path); err != nil {
		return err
	}
	if err := copyTree(source, t.path); err != nil {
		return fmt.Errorf("copy docker's module: %w", err)
	}
	// The directory has only the list of what docker's repository keeps in it.
	if err := os.RemoveAll(filepath.Join(t.path, "vendor")); err != nil {
		return err
	}
	for from, to := range map[string]string{"vendor.mod": "go.mod", "vendor.sum": "go.sum"} {
		if err := os.Rename(filepath.Join(t.path, from), filepath.Join(t.path, to)); err != nil {
			return err
		}
	}
	return nil
}

func copyTree(source, target string) error {
	return fs.WalkDir(os.DirFS(source), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(target, name), 0o755)
		}
		data, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(target, name), data, 0o644)
	})
}

// replacePlugin deletes docker's package plugin and makes all imports of it
// imports of ours, which is taken from repository. No other line changes.
func (t tree) replacePlugin(ctx context.Context, repository string) error {
	if err := os.RemoveAll(filepath.Join(t.path, "plugin")); err != nil {
		return err
	}
	changed, err := t.rewriteImports()
	if err != nil {
		return err
	}
	fmt.Printf("imports of %s changed in:\n\t%s\n", itsPlugin, strings.Join(changed, "\n\t"))
	_, err = output(ctx, t.path, "go", "mod", "edit", "-require="+dovetail+"@v0.0.0", "-replace="+dovetail+"="+repository)
	if err != nil {
		return err
	}
	return t.trust(repository)
}

// rewriteImports returns the names of the files that it changed.
func (t tree) rewriteImports() ([]string, error) {
	var changed []string
	err := fs.WalkDir(os.DirFS(t.path), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".go" {
			return err
		}
		path := filepath.Join(t.path, name)
		was, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		is := rewrite(was)
		if bytes.Equal(was, is) {
			return nil
		}
		changed = append(changed, name)
		return os.WriteFile(path, is, 0o644)
	})
	return changed, err
}

// rewrite changes the import paths of docker's package and those below it.
func rewrite(source []byte) []byte {
	for _, end := range []string{`"`, `/`} {
		source = bytes.ReplaceAll(source, []byte(`"`+itsPlugin+end), []byte(`"`+dovetail+end))
	}
	return source
}

// trust adds the checksums of what our module requires to docker's.
func (t tree) trust(repository string) error {
	ours, err := os.ReadFile(filepath.Join(repository, "go.sum"))
	if err != nil {
		return err
	}
	path := filepath.Join(t.path, "go.sum")
	sums, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(sums, ours...), 0o644)
}

// programs are built of each tree.
var programs = []string{"dockerd", "docker-proxy"}

// flags make programs that depend on nothing of the machine and its directories. The
// programs have no debug information: without it the compiler takes a fifth less time.
var flags = []string{"-mod=mod", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", "-tags", "netgo,osusergo,static_build"}

// build links the tree's programs as docker links its static ones.
func (t tree) build(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(t.program("")), 0o755); err != nil {
		return err
	}
	versions := "-X " + docker + "/dockerversion.Version=" + t.version
	for _, name := range programs {
		fmt.Println("build", t.program(name))
		build := append([]string{"build", "-ldflags", versions + " -s -w -extldflags -static"}, flags...)
		if _, err := output(ctx, t.path, "go", append(build, "-o", t.program(name), "./cmd/"+name)...); err != nil {
			return err
		}
	}
	return nil
}

// output runs a command with cgo on and returns what it printed; an error has
// what it printed to stderr.
func output(ctx context.Context, directory string, name string, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir = directory
	command.Env = append(os.Environ(), "CGO_ENABLED=1", "GOWORK=off", "GOFLAGS=")
	var failure bytes.Buffer
	command.Stderr = &failure
	out, err := command.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, failure.String())
	}
	return out, nil
}
