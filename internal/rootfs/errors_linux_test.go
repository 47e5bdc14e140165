// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&EntryError{},
		&LimitError{},
		&FormatError{}, &windowError{},
		&ContextError{},
		&SystemError{},
	)
}
