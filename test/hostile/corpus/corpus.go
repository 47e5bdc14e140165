// SPDX-License-Identifier: Apache-2.0

// Package corpus makes archives and documents that cost their reader more than
// they cost to send. Their parts are many, deep, long, repeated, nested or
// sparse.
package corpus

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"

	"github.com/docker/docker/api/types"
	"github.com/klauspost/compress/zstd"

	"github.com/dovetailhq/plugin/plugintest"
)

// MaxBytes bounds the inputs of the corpus.
const MaxBytes = 2 << 20

// Case is one hostile plugin.
type Case struct {
	Name string
	// Layers are its archives, lowest first. Nil is one archive with a single
	// file.
	Layers []func(*Archive)
	// Window packs the layers by zstd with windows of this many bytes. Zero
	// packs them by gzip.
	Window int64
	// Config changes its config.
	Config func(*types.PluginConfig)
	// Raw returns a config that its type does not encode to, in place of Config.
	Raw func() []byte
	// Repeat is how often the manifest names the layers. Zero means once.
	Repeat int
	// Args are arguments of Set for it.
	Args func() []string
}

// Archive is a tar archive in progress, for the rootfs of a plugin or a layer.
type Archive struct {
	tar    *tar.Writer
	raw    io.Writer
	prefix string
	failed error
}

// Add adds an entry.
func (a *Archive) Add(header tar.Header, content string) {
	header.Name = a.prefix + header.Name
	if header.Typeflag == tar.TypeLink {
		header.Linkname = a.prefix + header.Linkname
	}
	header.Size = int64(len(content))
	header.Format = tar.FormatPAX
	a.keep(a.tar.WriteHeader(&header))
	_, err := io.WriteString(a.tar, content)
	a.keep(err)
}

// Raw adds bytes that archive/tar would not write.
func (a *Archive) Raw(data []byte) {
	a.keep(a.tar.Flush())
	_, err := a.raw.Write(data)
	a.keep(err)
}

func (a *Archive) keep(err error) {
	if a.failed == nil {
		a.failed = err
	}
}

// File adds a regular file.
func (a *Archive) File(name, content string) {
	a.Add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content)
}

// Folder adds a directory.
func (a *Archive) Folder(name string) {
	a.Add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}, "")
}

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) {
	a.Add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, "")
}

// Packed returns the layers as a registry stores them.
func (c Case) Packed() ([][]byte, error) {
	var layers [][]byte
	for _, fill := range c.layers() {
		layer, err := c.pack(func(w io.Writer) error {
			return write(w, "", fill)
		})
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

func (c Case) layers() []func(*Archive) {
	if c.Layers == nil {
		return []func(*Archive){func(a *Archive) { a.File("file", "") }}
	}
	return c.Layers
}

// Context returns a build context with the last layer as rootfs.
func (c Case) Context() ([]byte, error) {
	config, err := c.EncodedConfig()
	if err != nil {
		return nil, err
	}
	layers := c.layers()
	return c.pack(func(w io.Writer) error {
		return write(w, "", func(a *Archive) {
			a.File("config.json", string(config))
			a.Folder("rootfs")
			a.prefix = "rootfs/"
			layers[len(layers)-1](a)
		})
	})
}

// EncodedConfig returns the config as JSON.
func (c Case) EncodedConfig() ([]byte, error) {
	if c.Raw != nil {
		return c.Raw(), nil
	}
	config := plugintest.Config("docker.volumedriver/1.0")
	if c.Config != nil {
		c.Config(&config)
	}
	return json.Marshal(config)
}

func write(w io.Writer, prefix string, fill func(*Archive)) error {
	a := &Archive{tar: tar.NewWriter(w), raw: w, prefix: prefix}
	fill(a)
	a.keep(a.tar.Close())
	return a.failed
}

func (c Case) pack(write func(io.Writer) error) ([]byte, error) {
	var packed bytes.Buffer
	var compressor io.WriteCloser
	var err error
	if c.Window > 0 {
		compressor, err = zstd.NewWriter(&packed, zstd.WithWindowSize(int(c.Window)))
	} else {
		compressor, err = gzip.NewWriterLevel(&packed, gzip.BestCompression)
	}
	if err == nil {
		err = write(compressor)
	}
	if err == nil {
		err = compressor.Close()
	}
	if err == nil && packed.Len() > MaxBytes {
		err = fmt.Errorf("%s has %d bytes: it would be hostile by its size alone", c.Name, packed.Len())
	}
	return packed.Bytes(), err
}
