// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"net"
	"net/url"
	"strings"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// origin is the scheme, host and port of an address, as defined in
// https://www.rfc-editor.org/rfc/rfc6454#section-4. A secret belongs to one
// origin.
type origin string

func originOf(address *url.URL) origin {
	scheme, port := strings.ToLower(address.Scheme), address.Port()
	if port == "" {
		port = defaultPorts[scheme]
	}
	return origin(scheme + "://" + net.JoinHostPort(strings.ToLower(address.Hostname()), port))
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// RedirectError refuses to follow a registry, or its token server, to another
// address. Class System.
type RedirectError struct {
	From, To string // scheme and host; the rest of an address can be a secret
	Why      string
}

func (e *RedirectError) Error() string {
	return plaintext.Sprintf("%s sends the request to %s, which is refused: %s", e.From, e.To, e.Why)
}

// System marks the error's class.
func (*RedirectError) System() {}

func newRedirectError(from, to *url.URL, why string) *RedirectError {
	place := func(address *url.URL) string { return (&url.URL{Scheme: address.Scheme, Host: address.Host}).String() }
	return &RedirectError{From: place(from), To: place(to), Why: why}
}

// checkStep refuses a step from one address to another that leaves TLS or
// HTTP. mayLeaveTLS is for hosts that the operator has marked as insecure.
func checkStep(from, to *url.URL, mayLeaveTLS bool) error {
	switch {
	case to.Scheme != "http" && to.Scheme != "https" || to.Host == "":
		return newRedirectError(from, to, "the address has no host, or another scheme than http and https")
	case from.Scheme == "https" && to.Scheme == "http" && !mayLeaveTLS:
		return newRedirectError(from, to, "the connection would lose its encryption; make the registry name an https address, or mark it as insecure")
	}
	return nil
}
