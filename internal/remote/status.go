// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// maxMessageBytes bounds how much of a registry's message errors show.
const maxMessageBytes = 1 << 10

// statusError is a response that ended a request.
type statusError struct {
	host    string
	status  int
	message string        // uncut until [session.explain] has searched it for secrets
	wait    time.Duration // before the next attempt
	asked   bool          // the registry asked for the wait
	final   bool          // no retry follows
}

func (e *statusError) Error() string {
	if e.status == http.StatusNotFound && e.message == "" {
		return "not found"
	}
	text := fmt.Sprintf("%d %s", e.status, http.StatusText(e.status))
	if e.message != "" {
		text += ": " + e.message
	}
	if e.status == http.StatusTooManyRequests {
		text += fmt.Sprintf(" (retry after %s)", e.wait)
	}
	return plaintext.Quote(text)
}

// isOverload reports whether the registry failed, and not the request.
func (e *statusError) isOverload() bool {
	switch e.status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// isRefusal reports whether the request is at fault, so that a retry is useless.
func (e *statusError) isRefusal() bool {
	return e.status < http.StatusInternalServerError && !e.isOverload()
}

// isInvalidGrant reports whether a token server names the account as the reason:
// https://www.rfc-editor.org/rfc/rfc6749#section-5.2.
func (e *statusError) isInvalidGrant() bool { return strings.HasPrefix(e.message, "invalid_grant") }

// namesScope reports whether a token server names the scope as the reason, or repeats
// one with the class of plugins.
func (e *statusError) namesScope() bool {
	message := strings.ToLower(e.message)
	return e.status == http.StatusBadRequest && (strings.Contains(message, "scope") || strings.Contains(message, "repository(plugin)"))
}

// isUnknownMethod reports whether the registry does not support the method.
func (e *statusError) isUnknownMethod() bool {
	return e.status == http.StatusMethodNotAllowed || e.status == http.StatusNotImplemented
}

// refusal reads and closes a response, and returns it as an error.
func refusal(response *http.Response) *statusError {
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))
	refused := &statusError{host: response.Request.URL.Host, status: response.StatusCode, message: registryMessage(body)}
	refused.wait, refused.asked = retryAfter(response)
	return refused
}

// registryMessage returns the message in a registry's refusal,
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes,
// or in a token server's, https://www.rfc-editor.org/rfc/rfc6749#section-5.2.
func registryMessage(body []byte) string {
	var document struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &document) != nil || len(document.Errors) == 0 {
		return oauthMessage(body)
	}
	var messages []string
	for _, e := range document.Errors {
		if text := strings.TrimSpace(e.Code + " " + e.Message); text != "" && !slices.Contains(messages, text) {
			messages = append(messages, text)
		}
	}
	return strings.Join(messages, "; ")
}

func oauthMessage(body []byte) string {
	var document struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &document) != nil {
		return ""
	}
	return strings.TrimSpace(document.Error + " " + document.Description)
}

// shorten cuts a long text from a server. The search for secrets comes before,
// because it can't recognize a part of a secret.
func shorten(text string) string {
	if len(text) <= maxMessageBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessageBytes], "") + "..."
}
