// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&RuntimeError{},
		&LockedError{},
	)
}
