package remote

import (
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	registrytypes "github.com/docker/docker/api/types/registry"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// withheld stands for what repeats a secret. What is left of a text would
// tell where it was, so nothing is.
const withheld = "(its answer repeats the account's secret, and is not shown)"

// secrets lists what an error of the operation may not show: the account's, and
// the tokens that were given or sent last.
func (s *session) secrets() []string {
	all := secretsOf(s.request.Auth)
	for _, token := range s.tokens.list() {
		all = append(all, formsOf(token)...)
	}
	return all
}

// discreet returns text, unless it has a secret in it: some servers repeat in
// their refusals what they were told.
func discreet(secrets []string, text string) string {
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			return withheld
		}
	}
	return text
}

// discreetError is discreet for an error, with all that is in it.
func discreetError(secrets []string, err error) error {
	if repeats(secrets, err) {
		return errors.New(withheld)
	}
	return err
}

// abridged is an error whose text leaves out a part of what it is about, as
// the end of something long. Secrets are looked for in all of it: what is left
// of one after a cut is not recognized.
type abridged interface {
	error
	whole() string
}

// repeats reports whether an error has a secret in it.
func repeats(secrets []string, err error) bool {
	if discreet(secrets, err.Error()) == withheld {
		return true
	}
	short, ok := find[abridged](err)
	return ok && discreet(secrets, short.whole()) == withheld
}

// secretsOf lists the secrets of an account, in the forms in which they are
// sent.
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

// formsOf lists a secret as it is, and as it is written in addresses and in the
// texts of errors.
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
