// SPDX-License-Identifier: Apache-2.0

package class

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/containerd/errdefs"
	dockererrdefs "github.com/docker/docker/errdefs"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestClasses(t *testing.T) {
	for _, tc := range []struct {
		name                string
		make                func(error) error
		containerd, dockers func(error) bool
	}{
		{"not found", NotFound, errdefs.IsNotFound, dockererrdefs.IsNotFound},
		{"conflict", Conflict, errdefs.IsConflict, dockererrdefs.IsConflict},
		{"invalid parameter", InvalidParameter, errdefs.IsInvalidArgument, dockererrdefs.IsInvalidParameter},
		{"unavailable", Unavailable, errdefs.IsUnavailable, dockererrdefs.IsUnavailable},
		{"system", System, errdefs.IsInternal, dockererrdefs.IsSystem},
		{"not implemented", NotImplemented, errdefs.IsNotImplemented, dockererrdefs.IsNotImplemented},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cause := fmt.Errorf("read: %w", io.EOF)
			err := tc.make(cause)
			assert.Check(t, tc.containerd(err), "containerd's errdefs")
			assert.Check(t, tc.dockers(err), "docker's errdefs")
			assert.Check(t, errors.Is(err, io.EOF))
			assert.Equal(t, err.Error(), "read: EOF")
			assert.Check(t, !tc.containerd(cause))
		})
	}
}

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&notFoundError{},
		&conflictError{},
		&invalidParameterError{},
		&unavailableError{},
		&systemError{},
		&notImplementedError{},
	)
}
