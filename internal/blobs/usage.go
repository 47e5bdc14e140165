// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// Usage returns the number and the size of all blobs, without unfinished ones. It
// can miss blobs that come or go concurrently.
func (s *Store) Usage() (Tally, error) {
	blobs, err := s.list()
	if err != nil {
		return Tally{}, err
	}
	usage := Tally{Count: len(blobs)}
	for _, blob := range blobs {
		usage.Bytes += blob.Size
	}
	return usage, nil
}

// list returns all blobs. It ignores files that are not named by a digest.
func (s *Store) list() ([]Blob, error) {
	root := filepath.Join(s.dir, "blobs")
	algorithms, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("list blobs: %w", err)
	}
	var blobs []Blob
	for _, algorithm := range algorithms {
		if !digest.Algorithm(algorithm.Name()).Available() {
			continue
		}
		found, err := listDirectory(root, algorithm.Name())
		if err != nil {
			return nil, fmt.Errorf("list blobs: %w", err)
		}
		blobs = append(blobs, found...)
	}
	return blobs, nil
}

func listDirectory(root, algorithm string) ([]Blob, error) {
	files, err := os.ReadDir(filepath.Join(root, algorithm))
	if err != nil {
		return nil, err
	}
	var blobs []Blob
	for _, file := range files {
		dgst := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), file.Name())
		if dgst.Validate() != nil || !file.Type().IsRegular() {
			continue
		}
		info, err := file.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // swept
		}
		if err != nil {
			return nil, err
		}
		blobs = append(blobs, Blob{Digest: dgst, Size: info.Size()})
	}
	return blobs, nil
}
