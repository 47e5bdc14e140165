package remote

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	registrytypes "github.com/docker/docker/api/types/registry"
)

// withheld stands for what repeats a secret. What is left of a text would
// tell where it was, so nothing is.
const withheld = "(its answer repeats the account's secret, and is not shown)"

// secrets lists what an error of the operation may not show: the account's, and
// the tokens that it was given.
func (s *session) secrets() []string {
	all := secretsOf(s.request.Auth)
	s.tokens.Range(func(token, _ any) bool {
		all = append(all, token.(string))
		return true
	})
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
	if discreet(secrets, err.Error()) == withheld {
		return errors.New(withheld)
	}
	return err
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
		if secret != "" {
			all = append(all, secret, url.QueryEscape(secret), url.PathEscape(secret))
		}
	}
	return all
}
