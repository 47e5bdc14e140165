//go:build linux

package plugin

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&LegacyError{},
		&LimitError{},
		&LimitError{Limit: "ManifestBytes", Max: mostManifestBytes},
		&NotFoundError{},
		&AmbiguousError{},
		&DisabledError{},
		&UnavailableError{},
		&EnabledError{},
		&InUseError{},
		&ExistsError{},
		&BusyError{},
		&InvalidError{},
		&ConfigError{},
		&UnsupportedError{},
		&StorageError{},
		&AnswerError{},
		&BrokenError{},
		&unknownContentError{},
	)
	plaintexttest.CheckLines(t, 3, &StartError{ExitCode: 137, OOMKilled: true})
}
