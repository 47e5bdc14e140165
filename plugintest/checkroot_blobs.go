// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
)

// blobState reports whether the content of a blob matches its digest.
type blobState bool

const (
	blobIntact  blobState = true
	blobCorrupt blobState = false
)

func (c *rootChecker) storage(elements ...string) string {
	return filepath.Join(append([]string{c.root, "storage"}, elements...)...)
}

func (c *rootChecker) blobPath(dgst digest.Digest) string {
	return c.storage("blobs", dgst.Algorithm().String(), dgst.Encoded())
}

// checkStorage checks the content store, including the content of all blobs.
func (c *rootChecker) checkStorage() {
	for _, entry := range c.list(c.storage()) {
		if name := entry.Name(); name != "blobs" && name != "ingest" {
			c.problem("storage/%s is left", name)
		}
	}
	for _, algorithm := range c.list(c.storage("blobs")) {
		for _, blob := range c.list(c.storage("blobs", algorithm.Name())) {
			c.checkBlob(digest.NewDigestFromEncoded(digest.Algorithm(algorithm.Name()), blob.Name()))
		}
	}
	for _, ingest := range c.list(c.storage("ingest")) {
		c.checkIngest(ingest.Name())
	}
}

func (c *rootChecker) checkBlob(dgst digest.Digest) {
	if err := dgst.Validate(); err != nil {
		c.problem("storage/blobs: %q is not the name of a blob", dgst)
		return
	}
	c.blobs[dgst] = blobCorrupt
	file, err := os.Open(c.blobPath(dgst))
	if err != nil {
		c.problem("open blob: %v", err)
		return
	}
	defer file.Close()
	verifier := dgst.Verifier()
	if _, err := io.Copy(verifier, file); err != nil {
		c.problem("read blob %s: %v", dgst, err)
		return
	}
	if !verifier.Verified() {
		c.problem("blob %s is corrupt: its content does not match the digest", dgst)
		return
	}
	c.blobs[dgst] = blobIntact
}

// checkIngest accepts unfinished downloads that a later pull can resume.
func (c *rootChecker) checkIngest(name string) {
	ref, err := os.ReadFile(c.storage("ingest", name, "ref"))
	if err != nil || !strings.Contains(string(ref), "sha256:") {
		c.problem("ingest %s (%s) is left, and can't be resumed", name, ref)
	}
}

// need records that a plugin refers to a blob, and checks that the blob exists.
// Records written by docker can have empty digests.
func (c *rootChecker) need(id string, dgst digest.Digest) {
	if dgst == "" {
		return
	}
	c.needed[dgst] = true
	if _, present := c.blobs[dgst]; !present {
		c.problem("plugin %s: blob %s is missing", id, dgst)
	}
}

// read returns the bytes of an intact blob, or nil.
func (c *rootChecker) read(dgst digest.Digest) []byte {
	if c.blobs[dgst] != blobIntact {
		return nil
	}
	data, err := os.ReadFile(c.blobPath(dgst))
	if err != nil {
		c.problem("read blob: %v", err)
	}
	return data
}

// checkGarbage reports blobs that no plugin refers to.
func (c *rootChecker) checkGarbage() {
	if !c.Collected {
		return
	}
	for dgst := range c.blobs {
		if !c.needed[dgst] {
			c.problem("blob %s is not referenced by any plugin", dgst)
		}
	}
}
