//go:build linux

package containerd

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&notFoundError{},
		&conflictError{},
		&unavailableError{},
		&systemError{},
	)
}
