// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package trees

import (
	"context"
	"os"
)

// Removal deletes one tree.
type Removal struct{ path string }

// Remove returns a removal of the tree at path.
func Remove(path string) (*Removal, error) { return &Removal{path}, nil }

// Run deletes the whole tree in one step.
func (r *Removal) Run(ctx context.Context, _ int) (done bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return true, os.RemoveAll(r.path)
}

// Close does nothing.
func (*Removal) Close() {}
