// SPDX-License-Identifier: Apache-2.0

// Package skeleton writes projects that authors of plugins begin with: a Go main package
// with its config.json and its tests, ready to build and run.
package skeleton

import (
	"bytes"
	"embed"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// files has the directory common for all kinds, and one for each kind. The suffix of
// their names keeps the go command from taking them for packages.
//
//go:embed files
var files embed.FS

const (
	filesName  = "files"
	commonName = "common"
	suffix     = ".tmpl"
)

// kind is what the files of a kind name: the interface in the answer to Plugin.Activate,
// and a sentence about the plugin.
type kind struct{ implements, summary string }

var kinds = map[string]kind{
	"authz":   {"authz", "An authorization plugin for docker that denies the requests its setting `DENY` matches."},
	"log":     {"LogDriver", "A log driver for docker that writes the log of each container to a file."},
	"metrics": {"MetricsCollector", "A metrics plugin for docker that serves the daemon's metrics for Prometheus."},
	"network": {"NetworkDriver", "A network driver for docker. It answers every call, and its networks have no interfaces yet."},
	"volume":  {"VolumeDriver", "A volume driver for docker with a directory for each volume."},
}

// Kinds returns the kinds of projects, sorted.
func Kinds() []string {
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Error reports a project that can't be written as asked. Class InvalidParameter.
type Error struct{ What, Reason string }

func (e *Error) Error() string { return plaintext.Sprintf("%s: %s", e.What, e.Reason) }

// InvalidParameter marks the error's class.
func (*Error) InvalidParameter() {}

// validName accepts the last elements of module paths that are not versions.
var validName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// Write writes a project into a directory, which is absent or empty. The project has the
// name of the directory. Errors: [Error], and those of the file system. On error nothing
// is left except the directory.
func Write(kindName, directory string) error {
	project, ok := kinds[kindName]
	if !ok {
		return &Error{plaintext.Sprintf("kind %q", kindName), "use one of " + strings.Join(Kinds(), ", ")}
	}
	directory, err := filepath.Abs(directory)
	if err != nil {
		return err
	}
	name := filepath.Base(directory)
	if !validName.MatchString(name) || regexp.MustCompile(`^v[0-9]+$`).MatchString(name) {
		return &Error{plaintext.Sprintf("directory name %q", name), "the module gets this name: use a lower-case letter and then letters, digits, - and _"}
	}
	contents, err := render(kindName, map[string]string{"Name": name, "Kind": kindName, "Implements": project.implements, "Summary": project.summary})
	if err != nil {
		return err
	}
	return write(contents, directory)
}

// render returns the files of a project by their names.
func render(kindName string, values map[string]string) (map[string][]byte, error) {
	contents := map[string][]byte{}
	for _, directory := range []string{commonName, kindName} {
		directory = path.Join(filesName, directory)
		entries, err := files.ReadDir(directory)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			parsed, err := template.ParseFS(files, path.Join(directory, entry.Name()))
			if err != nil {
				return nil, err
			}
			var content bytes.Buffer
			if err := parsed.Execute(&content, values); err != nil {
				return nil, err
			}
			contents[strings.TrimSuffix(entry.Name(), suffix)] = content.Bytes()
		}
	}
	return contents, nil
}

// write writes all files or none.
func write(contents map[string][]byte, directory string) (err error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	there, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return &Error{plaintext.Sprintf("directory %q", directory), "it is not empty: name a new one"}
	}
	var written []string
	defer func() {
		if err != nil {
			for _, name := range written {
				err = errors.Join(err, os.Remove(name))
			}
		}
	}()
	for name, content := range contents {
		file, err := os.OpenFile(filepath.Join(directory, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return &Error{plaintext.Sprintf("directory %q", directory), "another program makes files in it"}
		}
		if err != nil {
			return err
		}
		written = append(written, file.Name())
		_, err = file.Write(content)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}
