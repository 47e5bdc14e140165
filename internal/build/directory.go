// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dovetailhq/plugin/internal/rootfs"
)

// ofContext opens a directory as docker plugin create takes it: config.json and
// rootfs.
func (b *Builder) ofContext(ctx context.Context, s Source) (*material, error) {
	m, err := b.ofDirectory(ctx, s, filepath.Join(s.Path, rootfsName))
	if err != nil || len(m.config) > 0 {
		return m, err
	}
	m.config, err = b.options.ReadConfig(filepath.Join(s.Path, configName))
	return m, err
}

// ofDirectory opens a rootfs.
func (b *Builder) ofDirectory(ctx context.Context, s Source, directory string) (*material, error) {
	directory, err := filepath.EvalSymlinks(directory)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(directory)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &SourceError{Source: s.Path, Err: fmt.Errorf("%s is not a directory", rootfsName)}
	}
	m := &material{config: b.options.Config, platform: s.platform()}
	m.layers = []layer{{open: func() (io.ReadCloser, error) { return b.pack(ctx, directory), nil }, keep: b.options.Uncompressed}}
	return m, nil
}

// ReadConfig reads a config.json within the limit of a config.
func (o Options) ReadConfig(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	limit := o.Limits.MaxConfigBytes()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &ConfigError{Reason: fmt.Sprintf("%s has more than %d bytes", path, limit)}
	}
	return data, nil
}

// packed is a directory that is packed while it is read.
type packed struct {
	*io.PipeReader
	done chan struct{} // closed when the packing has ended
}

// pack packs a directory. The packing ends before the reader's Close returns.
func (b *Builder) pack(ctx context.Context, directory string) io.ReadCloser {
	reader, writer := io.Pipe()
	p := packed{PipeReader: reader, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		writer.CloseWithError(rootfs.Pack(ctx, directory, writer, b.options.Latest, b.options.Limits.Archives))
	}()
	return p
}

func (p packed) Close() error {
	err := p.PipeReader.Close()
	<-p.done
	return err
}
