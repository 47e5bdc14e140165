// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"errors"
	"fmt"
	"testing"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"
)

type conflictError struct{ error }

func (conflictError) Conflict() {}

func TestClassOf(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"none", nil, ok},
		{"without a class", errors.New("x"), unclassed},
		{"docker's", conflictError{errors.New("x")}, conflict},
		{"containerd's", errdefs.ErrNotFound, notFound},
		{"wrapped", fmt.Errorf("y: %w", conflictError{errors.New("x")}), conflict},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, classOf(tt.err), tt.want)
		})
	}
}
