// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package trees

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
)

// Usage returns the total size of the files at and below path.
func Usage(ctx context.Context, path string, _ bool) (bytes int64, err error) {
	err = filepath.WalkDir(path, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil {
			if info, infoErr := entry.Info(); infoErr == nil {
				bytes += info.Size()
			}
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return bytes, err
}
