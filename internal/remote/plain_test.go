// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&RequestError{},
		&StalledError{},
		&TooLargeError{},
		&MissingError{},
		&StoreError{},
		&statusError{status: 429},
		&operationError{},
		&PlatformError{},
		&UnsupportedError{},
		&ProtocolError{},
		&connectionError{},
		&RedirectError{},
		&ResolverError{},
	)
}
