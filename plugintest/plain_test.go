package plugintest

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&notFoundError{},
		&conflictError{},
		&invalidParameterError{},
	)
	plaintexttest.CheckLines(t, 3, &RootError{})
}
