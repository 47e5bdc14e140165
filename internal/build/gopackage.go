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
	v2 "github.com/dovetailhq/plugin/v2"
)

// ofPackage builds a Go main package into a new rootfs, as the entrypoint of the config.
// The program is static, and the same sources give the same program in every directory.
// The config is that of the options, or config.json in the directory of the package.
func (b *Builder) ofPackage(ctx context.Context, s Source) (*material, error) {
	if strings.HasPrefix(s.Package, "-") { // the go command would take it for an option
		return nil, &SourceError{Source: s.String(), Err: errors.New("it begins with a hyphen")}
	}
	top, err := os.MkdirTemp(b.directory, "go-")
	if err != nil {
		return nil, err
	}
	program, err := buildPackage(ctx, s, filepath.Join(top, "bin"))
	if err != nil {
		return nil, err
	}
	config, err := b.packageConfig(ctx, s)
	if err != nil {
		return nil, err
	}
	entrypoint, err := placeOf(config, filepath.Base(program))
	if err != nil {
		return nil, err
	}
	tree := filepath.Join(top, rootfsName)
	if err := move(program, filepath.Join(tree, entrypoint)); err != nil {
		return nil, err
	}
	if err := normalize(tree, b.options.Latest); err != nil {
		return nil, err
	}
	m, err := b.ofDirectory(ctx, s, tree)
	if err != nil {
		return nil, err
	}
	m.config, m.image.Entrypoint = config, []string{entrypoint}
	return m, nil
}

// packageConfig returns the config of a package.
func (b *Builder) packageConfig(ctx context.Context, s Source) ([]byte, error) {
	if len(b.options.Config) > 0 {
		return b.options.Config, nil
	}
	directory, err := directoryOf(ctx, s)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(directory, configName)
	config, err := b.options.ReadConfig(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = &ConfigError{Reason: "the package has none: set --config, or add " + name}
	}
	return config, err
}

// directoryOf returns the directory of a package. The go command takes longer to tell it
// than a small layer takes to pack.
func directoryOf(ctx context.Context, s Source) (string, error) {
	if directory, _ := whereIs(s.Package); directory != "" {
		return filepath.Abs(directory)
	}
	return goCommand(ctx, s, "list", "-f", "{{.Dir}}")
}

// placeOf returns where a program belongs in the rootfs: where the config's entrypoint
// names it, because the rootfs has no other program, and else in /bin.
func placeOf(config []byte, program string) (string, error) {
	place := path.Join("/bin", program)
	parsed, err := v2.ParseConfig(config)
	if err != nil || len(parsed.Entrypoint) == 0 {
		return place, err
	}
	named := parsed.Entrypoint[0]
	if !strings.Contains(named, "/") {
		named = path.Join("/bin", named)
	} else if !path.IsAbs(named) {
		named = path.Join(parsed.WorkDir, named)
	}
	if named = path.Join("/", named); named != "/" {
		place = named
	}
	return place, nil
}

// move renames a file to a path in new directories.
func move(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// buildPackage builds a program into a new directory and returns its path.
func buildPackage(ctx context.Context, s Source, bin string) (string, error) {
	bin, err := filepath.Abs(bin) // the go command runs in another directory
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(bin, 0o755); err != nil {
		return "", err
	}
	if _, err := goCommand(ctx, s, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", bin+string(filepath.Separator)); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(bin)
	if err != nil {
		return "", err
	}
	if len(entries) != 1 {
		return "", &SourceError{Source: s.String(), Err: fmt.Errorf("it is %d main packages: name one", len(entries))}
	}
	return filepath.Join(bin, entries[0].Name()), nil
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

// goCommand runs the go command on the package of a source, for its platform, and
// returns the output without white space around it. The error is a [GoError].
func goCommand(ctx context.Context, s Source, args ...string) (string, error) {
	directory, name := whereIs(s.Package)
	command := exec.CommandContext(ctx, "go", append(args, name)...)
	command.Dir = directory
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

// whereIs returns where the go command runs for a package, and what it calls the package
// there. The command runs in a package that is a directory, which can be of another
// module than the working directory.
func whereIs(name string) (directory, there string) {
	local := filepath.IsAbs(name) || name == "." || name == ".." || strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../")
	if info, err := os.Stat(name); !local || err != nil || !info.IsDir() {
		return "", name
	}
	return name, "."
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
