// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t)
	plaintexttest.CheckLines(t, 3, &RootError{})
}
