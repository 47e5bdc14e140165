// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// ofPackage builds a Go main package into the directory bin of a new rootfs. The
// program is static, and the same sources give the same program in every directory. The
// config is that of the options, or config.json in the directory of the package.
func (b *Builder) ofPackage(ctx context.Context, s Source) (*material, error) {
	if strings.HasPrefix(s.Package, "-") { // the go command would take it for an option
		return nil, &SourceError{Source: s.String(), Err: errors.New("it begins with a hyphen")}
	}
	top, err := os.MkdirTemp(b.directory, "go-")
	if err != nil {
		return nil, err
	}
	tree := filepath.Join(top, rootfsName)
	name, err := buildPackage(ctx, s, filepath.Join(tree, "bin"))
	if err != nil {
		return nil, err
	}
	m, err := b.ofDirectory(ctx, s, tree)
	if err != nil {
		return nil, err
	}
	if err := normalize(tree, b.options.Latest); err != nil {
		return nil, err
	}
	m.image.Entrypoint = []string{path.Join("/bin", name)}
	if len(m.config) > 0 {
		return m, nil
	}
	directory, err := goCommand(ctx, s, "list", "-f", "{{.Dir}}", s.Package)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(directory, configName)
	m.config, err = b.options.ReadConfig(config)
	if errors.Is(err, fs.ErrNotExist) {
		err = &ConfigError{Reason: "the package has none: set --config, or add " + config}
	}
	return m, err
}

// buildPackage builds a program into a directory and returns its name.
func buildPackage(ctx context.Context, s Source, bin string) (string, error) {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	if _, err := goCommand(ctx, s, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", bin+string(filepath.Separator), s.Package); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(bin)
	if err != nil {
		return "", err
	}
	if len(entries) != 1 {
		return "", &SourceError{Source: s.String(), Err: fmt.Errorf("it is %d main packages: name one", len(entries))}
	}
	return entries[0].Name(), nil
}

// normalize gives files the modes and times that they have on every host, whatever its
// umask: latest, or 1970.
func normalize(tree string, latest time.Time) error {
	if latest.IsZero() {
		latest = time.Unix(0, 0)
	}
	return filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Chmod(path, 0o755); err != nil {
			return err
		}
		return os.Chtimes(path, latest, latest)
	})
}

// goCommand runs the go command for the platform of a source, and returns its output
// without white space around it. The error is a [GoError].
func goCommand(ctx context.Context, s Source, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Env = append(os.Environ(), environment(s.platform())...)
	command.WaitDelay = goPatience
	var output, problems bytes.Buffer
	command.Stdout, command.Stderr = &output, &problems
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", &GoError{Op: args[0], Package: s.Package, Output: last(problems.String()), Err: err}
	}
	return strings.TrimSpace(output.String()), nil
}

// goPatience bounds the wait for children of a go command that was killed.
const goPatience = 5 * time.Second

// environment returns the variables of a static program for a platform:
// https://go.dev/wiki/GoArm has those of arm.
func environment(platform ocispec.Platform) []string {
	env := []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + platform.Architecture}
	if version, ok := strings.CutPrefix(platform.Variant, "v"); ok && platform.Architecture == "arm" {
		env = append(env, "GOARM="+version)
	}
	return env
}

// maxOutput bounds the output of the go command that an error has.
const maxOutput = 2 << 10

// last returns the last lines of a text.
func last(text string) string {
	text = strings.TrimSpace(text)
	if len(text) <= maxOutput {
		return text
	}
	_, rest, _ := strings.Cut(text[len(text)-maxOutput:], "\n")
	return rest
}

// GoError reports that the go command failed. Class InvalidParameter.
type GoError struct {
	Op, Package string
	// Output is the end of what the command wrote.
	Output string
	Err    error
}

func (e *GoError) Error() string {
	return plaintext.Sprintf("go %s %s: %v: %s", e.Op, e.Package, e.Err, e.Output)
}

// Unwrap returns the error of the process.
func (e *GoError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (*GoError) InvalidParameter() {}
