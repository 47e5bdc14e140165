// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/class"
	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

// TestFaultsAreLogged answers errors of class 5xx to clients that are connected
// and to clients that have disconnected.
func TestFaultsAreLogged(t *testing.T) {
	for _, tc := range []struct {
		name   string
		leaves bool
		err    error
		logged bool
	}{
		{"a fault", false, errors.New("disk on fire"), true},
		{"a fault while the client left", true, errors.New("disk on fire"), true},
		{"the client left", true, fmt.Errorf("list: %w", context.Canceled), false},
		{"something else was cancelled", false, context.Canceled, true},
		{"a refusal", false, class.InvalidParameter(errors.New("no")), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var written bytes.Buffer
			logger := logrus.New()
			logger.SetOutput(&written)
			ctx, leave := context.WithCancel(log.WithLogger(t.Context(), logrus.NewEntry(logger)))
			defer leave()
			if tc.leaves {
				leave()
			}
			request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/plugins", nil)
			NewHandler(&recorder{err: tc.err}).ServeHTTP(httptest.NewRecorder(), request)
			assert.Check(t, is.Equal(written.Len() > 0, tc.logged), "%s", &written)
		})
	}
}

// TestAnsweredErrorsArePlain returns errors with control characters from a
// backend, before an answer has begun and after.
func TestAnsweredErrorsArePlain(t *testing.T) {
	hostile := errors.New(plaintexttest.Hostile)
	for _, progress := range [][]string{nil, {step}} {
		for _, target := range []string{"/plugins/foo/push", "/v1.23/plugins/foo/push"} {
			answer := bodyOf(t, serve(t, &recorder{err: hostile, progress: progress}, "POST", target, ""))
			answer = strings.ReplaceAll(answer, "\r\n", "\n") // between messages
			assert.Check(t, is.Equal(answer, plaintext.Lines(answer)))
			assert.Check(t, !regexp.MustCompile(`[^\\]\\u00[01]`).MatchString(answer), "clients undo the escapes of JSON: %q", answer)
		}
	}
}
