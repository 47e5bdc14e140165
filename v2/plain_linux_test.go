//go:build linux

package v2

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&systemError{},
		&ErrLostSettings{},
		&ErrInadequateCapability{},
		&ErrDisabled{},
		&ErrInUse{},
		&ErrInvalidSetting{},
		&ErrInvalidSpec{},
		&ErrInvalidConfig{},
		&ErrConfigProblem{},
		&ErrInvalidRecord{},
		&ErrNoAnswer{},
	)
}
