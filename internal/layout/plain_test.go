// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&LockedError{},
		&FencedError{},
		&InterruptedError{},
		&LeftoverError{},
		&UnsettledError{},
		&BackupError{},
	)
}
