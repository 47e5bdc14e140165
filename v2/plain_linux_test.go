// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&LostSettingsError{},
		&ErrInadequateCapability{},
		&DisabledError{},
		&InUseError{},
		&InvalidSettingError{},
		&InvalidSpecError{},
		&InvalidConfigError{},
		&ConfigProblemError{},
		&InvalidRecordError{},
		&NoAnswerError{},
		&ChangedGrantError{},
	)
}
