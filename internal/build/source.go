// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Source names what a plugin is made of.
type Source struct {
	// Path is a directory with config.json and rootfs, a Go main package with
	// config.json, a rootfs, an OCI image layout, or an archive that has an OCI layout or
	// was written by docker save. It is empty if Package is set.
	Path string
	// Package is a Go main package, as the go command names it.
	Package string
	// Platform is the platform of the plugin. Nil means that of an image, and this
	// host's for anything else.
	Platform *ocispec.Platform
}

// platformText is the form of a platform in front of a source.
var platformText = regexp.MustCompile(`^linux/[a-z0-9]+(/[a-z0-9]+)?$`)

// packagePrefix begins a source that is a Go package.
const packagePrefix = "go:"

// ParseSource reads a source from a command line: PATH or go:PACKAGE, perhaps after a
// platform and an equals sign, as in linux/arm64=PATH. The error is a [SourceError].
func ParseSource(text string) (Source, error) {
	var s Source
	rest := text
	if before, after, ok := strings.Cut(text, "="); ok && platformText.MatchString(before) {
		platform, err := platforms.Parse(before)
		if err != nil {
			return Source{}, &SourceError{Source: text, Err: err}
		}
		s.Platform, rest = &platform, after
	}
	if name, ok := strings.CutPrefix(rest, packagePrefix); ok {
		s.Package = name
	} else {
		s.Path = rest
	}
	if s.Path == "" && s.Package == "" {
		return Source{}, &SourceError{Source: text, Err: errors.New("it is empty: name a directory, an archive or go:PACKAGE")}
	}
	return s, nil
}

// String returns the source as ParseSource reads it.
func (s Source) String() string {
	text := s.Path
	if s.Package != "" {
		text = packagePrefix + s.Package
	}
	if s.Platform != nil {
		text = platforms.Format(*s.Platform) + "=" + text
	}
	return text
}

// platform returns the platform of a source that has none by itself.
func (s Source) platform() ocispec.Platform {
	if s.Platform != nil {
		return *s.Platform
	}
	return platforms.Normalize(ocispec.Platform{OS: "linux", Architecture: platforms.DefaultSpec().Architecture})
}

var errTwice = errors.New("two sources are for this platform")

// SourceError reports a source that can't be used. Class InvalidParameter.
type SourceError struct {
	Source string
	Err    error
}

func (e *SourceError) Error() string { return plaintext.Sprintf("source %q: %v", e.Source, e.Err) }

// Unwrap returns the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (*SourceError) InvalidParameter() {}

// open finds out what a source is, and opens it.
func (b *Builder) open(ctx context.Context, s Source) (*material, error) {
	if s.Package != "" {
		return b.ofPackage(ctx, s)
	}
	info, err := os.Stat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &SourceError{Source: s.Path, Err: errors.New("it does not exist")}
	}
	if err != nil {
		return nil, err
	}
	switch {
	case !info.IsDir(), exists(filepath.Join(s.Path, ocispec.ImageLayoutFile)):
		return b.ofImage(ctx, s)
	case exists(filepath.Join(s.Path, configName)) && exists(filepath.Join(s.Path, rootfsName)):
		return b.ofContext(ctx, s)
	case s.isGo():
		if s.Package, err = filepath.Abs(s.Path); err != nil {
			return nil, err
		}
		return b.ofPackage(ctx, s)
	}
	return b.ofDirectory(ctx, s, s.Path)
}

// isGo reports whether Path is a directory with a Go package and its config.
func (s Source) isGo() bool {
	entries, err := os.ReadDir(s.Path)
	return err == nil && exists(filepath.Join(s.Path, configName)) && !exists(filepath.Join(s.Path, rootfsName)) &&
		slices.ContainsFunc(entries, func(entry os.DirEntry) bool { return filepath.Ext(entry.Name()) == ".go" })
}

// Tree returns the directory with all files of the source: Path, or the module of a Go
// package at Path.
func (s Source) Tree() (directory string, isGo bool) {
	if !s.isGo() {
		return s.Path, false
	}
	absolute, err := filepath.Abs(s.Path)
	if err != nil {
		return s.Path, true
	}
	for directory := absolute; ; directory = filepath.Dir(directory) {
		if exists(filepath.Join(directory, "go.mod")) {
			return directory, true
		}
		if directory == filepath.Dir(directory) {
			return absolute, true
		}
	}
}

const (
	configName = "config.json"
	rootfsName = "rootfs"
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
