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

// maxMessageBytes is what is shown of a registry's reasons.
const maxMessageBytes = 1 << 10

// statusError is a response that ended a request.
type statusError struct {
	host    string
	status  int
	message string        // all of it until [session.explain] has looked for secrets
	wait    time.Duration // before the next attempt
	asked   bool          // by the registry, for that wait
	final   bool          // it was retried, as often as makes sense
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
		text += fmt.Sprintf(" (to be retried after %s)", e.wait)
	}
	return plaintext.Quote(text)
}

// isOverload reports whether the registry failed, and not the request.
func (e *statusError) isOverload() bool {
	switch e.status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// isRefusal reports whether the request is at fault, as it would be again.
func (e *statusError) isRefusal() bool {
	return e.status < http.StatusInternalServerError && e.status != http.StatusTooManyRequests && e.status != http.StatusRequestTimeout
}

// isUnknownMethod reports whether a registry does not know the request's method.
func (e *statusError) isUnknownMethod() bool {
	return e.status == http.StatusMethodNotAllowed || e.status == http.StatusNotImplemented
}

// refusal makes an error of a response, which is read and closed.
func refusal(response *http.Response) *statusError {
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))
	refused := &statusError{host: response.Request.URL.Host, status: response.StatusCode, message: registryMessage(body)}
	refused.wait, refused.asked = retryAfter(response)
	return refused
}

// registryMessage is what a registry says in its refusal, from the errors of
// the distribution specification, or what its token server says, from the error
// of OAuth 2.0 (RFC 6749, section 5.2):
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
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

// shorten cuts a text of others that is too long to be read. Secrets are looked
// for before: a part of one is not recognized.
func shorten(text string) string {
	if len(text) <= maxMessageBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessageBytes], "") + "..."
}
