package blobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// Usage is what a store takes of the disk.
type Usage struct {
	Blobs       int
	BlobBytes   int64
	Ingests     int // unfinished blobs
	IngestBytes int64
}

// Usage adds up what is here. What comes and goes meanwhile may be missed.
func (s *Store) Usage(ctx context.Context) (Usage, error) {
	blobs, err := s.list()
	if err != nil {
		return Usage{}, err
	}
	ingests, err := s.Ingests(ctx)
	if err != nil {
		return Usage{}, err
	}
	usage := Usage{Blobs: len(blobs), Ingests: len(ingests)}
	for _, blob := range blobs {
		usage.BlobBytes += blob.Size
	}
	for _, ingest := range ingests {
		usage.IngestBytes += ingest.Size
	}
	return usage, nil
}

// list returns all blobs. Files that are not named by a digest are not ours.
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
