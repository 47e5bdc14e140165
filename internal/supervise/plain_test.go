// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&NoSocketError{},
		&ExitedError{},
		&StuckError{},
		&HungError{},
	)
}
