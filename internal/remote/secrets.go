// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	registrytypes "github.com/docker/docker/api/types/registry"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// withheld replaces a text that repeats a secret. Even the rest of the text would
// show where the secret was, so the whole text is replaced.
const withheld = "(its answer repeats a secret of the request, and is not shown)"

// secrets lists the secrets that an error of the operation must not show: those
// of the account and of the caller's headers, and the latest tokens.
func (s *session) secrets() []string {
	all := append(secretsOf(s.request.Auth), secretsIn(s.request.Headers)...)
	for _, token := range s.tokens.list() {
		all = append(all, formsOf(token)...)
	}
	return all
}

// discreet returns text, or withheld if it contains a secret: some servers repeat
// parts of the request in their refusals.
func discreet(secrets []string, text string) string {
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			return withheld
		}
	}
	return text
}

// discreetError is discreet for an error and its tree.
func discreetError(secrets []string, err error) error {
	if repeats(secrets, err) {
		return errors.New(withheld)
	}
	return err
}

// abridged is an error with a text that is cut, for example after a limit. The
// search for secrets needs the whole text, because it can't recognize a part of
// a secret.
type abridged interface {
	error
	whole() string
}

// repeats reports whether an error contains a secret.
func repeats(secrets []string, err error) bool {
	if discreet(secrets, err.Error()) == withheld {
		return true
	}
	short, ok := find[abridged](err)
	return ok && discreet(secrets, short.whole()) == withheld
}

// secretsOf lists the secrets of an account, in all forms that are sent.
func secretsOf(account *registrytypes.AuthConfig) []string {
	if account == nil {
		return nil
	}
	secrets := []string{account.Password, account.IdentityToken, account.RegistryToken, account.Auth}
	if user, secret, err := credentials(account); err == nil {
		secrets = append(secrets, secret, base64.StdEncoding.EncodeToString([]byte(user+":"+secret)))
	}
	var all []string
	for _, secret := range secrets {
		all = append(all, formsOf(secret)...)
	}
	return all
}

// shortestHeaderSecret is the length in bytes from which the value of a header
// counts as a secret. Shorter values, such as 1 and true, occur in ordinary texts.
const shortestHeaderSecret = 6

// secretsIn lists the values of a caller's headers, see [session.secretHeader],
// and their parts, such as the token after Bearer or in a cookie. It leaves out
// the User-Agent, which is sent to every server.
func secretsIn(headers http.Header) []string {
	var all []string
	for name, values := range headers {
		if http.CanonicalHeaderKey(name) == "User-Agent" {
			continue
		}
		for _, value := range values {
			parts := strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ;,=", r) })
			for _, secret := range append(parts, value) {
				if len(secret) >= shortestHeaderSecret {
					all = append(all, formsOf(secret)...)
				}
			}
		}
	}
	return all
}

// formsOf lists a secret in plain form, and as written in URLs and in the texts
// of errors.
func formsOf(secret string) []string {
	if secret == "" {
		return nil
	}
	quoted := strconv.Quote(secret)
	quoted = quoted[1 : len(quoted)-1]
	forms := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret),
		quoted, plaintext.Quote(quoted), plaintext.Quote(secret), plaintext.Quote(strings.ReplaceAll(secret, "\n", "; ")),
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}
