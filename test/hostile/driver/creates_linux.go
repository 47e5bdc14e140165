// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"

	"github.com/docker/docker/api/types"
	"golang.org/x/sync/errgroup"
)

// creates builds as many plugins at a time as a manager does by default. All clients
// send half of a large file before one sends the rest, and then break off.
func (w *world) creates(ctx context.Context) error {
	const count, half = 12, 8 << 20
	var sending errgroup.Group
	var building, halfSent sync.WaitGroup
	halfSent.Add(count)
	for i := range count {
		read, write := io.Pipe()
		sending.Go(func() error {
			defer write.CloseWithError(io.ErrUnexpectedEOF)
			archive := tar.NewWriter(write)
			err := archive.WriteHeader(&tar.Header{Name: "rootfs/file", Mode: 0o644, Size: 3 * half})
			if err == nil {
				_, err = io.CopyN(archive, rand.Reader, half)
			}
			halfSent.Done()
			if err != nil {
				return err
			}
			halfSent.Wait()
			_, err = io.CopyN(archive, rand.Reader, half)
			return err
		})
		building.Go(func() {
			defer read.Close()
			// The error is that of the client. The clients report any other end.
			_ = w.manager.CreateFromContext(ctx, read, &types.PluginCreateOptions{RepoName: fmt.Sprint("many", i)})
		})
	}
	building.Wait()
	return sending.Wait()
}
