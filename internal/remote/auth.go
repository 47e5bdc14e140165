// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"sync/atomic"

	registrytypes "github.com/docker/docker/api/types/registry"
)

// authorizer authenticates the user at one endpoint, once the endpoint has sent a
// challenge. It is safe for concurrent use.
type authorizer struct {
	endpoint *endpoint
	account  registrytypes.AuthConfig

	// turn is a lock for offer and rejected. A request also holds it while it
	// waits for a token that other requests need.
	turn     chan struct{}
	offer    challenge // the endpoint's challenge; empty before the first
	rejected error     // set when the account was refused: it is not sent again

	tokens tokenCache  // accepted tokens
	proven atomic.Bool // the account was accepted
	// classless is set if the token server does not know the class of plugins.
	classless atomic.Bool
}

func newAuthorizer(e *endpoint, account registrytypes.AuthConfig) *authorizer {
	return &authorizer{endpoint: e, account: account, turn: make(chan struct{}, 1)}
}

// attempt is the authorization of one request.
type attempt struct {
	sources   []string
	header    string // the Authorization header
	classless bool   // the right to the repository is enough
	key       string // of the token in tokens
	token     token  // the token in the header
	cached    bool   // the token comes from an earlier request
	renewals  int    // number of cached tokens that were renewed
}

// authorized sends a call until the endpoint accepts it or no other credentials
// are left. Each 401 is answered with at most one new token.
func (e *endpoint) authorized(ctx context.Context, c call) (*http.Response, error) {
	a := &attempt{sources: c.sources}
	for {
		judge, err := e.auth.authorize(ctx, a)
		if err != nil {
			return nil, err
		}
		response, err := e.once(ctx, c, a.header)
		e.session.tokens.note(a.token.value)
		if err != nil {
			judge(0)
			return nil, err
		}
		status := http.StatusOK
		if e.isHome(response) {
			status = response.StatusCode
		}
		judge(status)
		if status != http.StatusUnauthorized {
			return response, nil
		}
		again, err := e.auth.again(ctx, a, challenges(response.Header))
		if err == nil && !again {
			return response, nil
		}
		discard(response)
		if err != nil {
			return nil, err
		}
	}
}

// authorize sets the header of an attempt. The caller must then call judge with
// the endpoint's status, or with zero if there was no answer. One request at a
// time sends an account that no request has proven yet, so that a wrong password
// is sent once.
func (a *authorizer) authorize(ctx context.Context, at *attempt) (judge func(status int), err error) {
	if err := a.acquireTurn(ctx); err != nil {
		return nil, err
	}
	isBasic := a.offer.scheme == "basic" && a.account.RegistryToken == ""
	isProof := isBasic && !a.proven.Load()
	if err := a.choose(ctx, at); err != nil {
		a.releaseTurn()
		return nil, err
	}
	if !isProof {
		a.releaseTurn()
	}
	return func(status int) {
		switch {
		case isProof && isRejection(status, at), status == http.StatusUnauthorized && isBasic && len(at.sources) == 0:
			a.reject(ctx, isProof, status)
		case isVerdict(status) && at.header != "" && !(isProof && status == http.StatusForbidden):
			a.accepted(at)
		}
		if isProof {
			a.releaseTurn()
		}
	}, nil
}

// isRejection reports whether a status can mean that the account is wrong. Some
// registries answer 403 to a wrong password. To a mount, 403 means only that the user
// can't read the source.
func isRejection(status int, at *attempt) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden && len(at.sources) == 0
}

// isVerdict reports whether a status shows that the registry has accepted the
// credentials. An overloaded registry may not have looked at them.
func isVerdict(status int) bool {
	refused := statusError{status: status}
	return status != 0 && status != http.StatusUnauthorized && status < http.StatusInternalServerError && !refused.isOverload()
}

// reject records that the account was refused. The caller can hold the turn.
func (a *authorizer) reject(ctx context.Context, holdsTurn bool, status int) {
	if !holdsTurn {
		if a.acquireTurn(ctx) != nil {
			return // no request follows
		}
		defer a.releaseTurn()
	}
	a.rejected = &statusError{host: a.endpoint.base.Host, status: status, message: "the account was refused before"}
}

// accepted records an accepted attempt. Other requests use its token only now,
// because a registry may accept a token only once.
func (a *authorizer) accepted(at *attempt) {
	a.proven.Store(true)
	if at.classless && len(at.sources) == 0 {
		a.classless.Store(true)
	}
	if at.token.value != "" {
		a.tokens.put(at.key, at.token)
	}
}

// choose sets the header of an attempt as the endpoint's challenge demands. The
// caller holds the turn.
func (a *authorizer) choose(ctx context.Context, at *attempt) (err error) {
	at.classless = at.classless || a.classless.Load()
	switch {
	case a.rejected != nil:
		return a.rejected
	case a.account.RegistryToken != "":
		at.header = "Bearer " + a.account.RegistryToken
	case a.offer.scheme == "bearer":
		return a.bearer(ctx, at)
	case a.offer.scheme == "basic":
		at.header, err = a.basic()
	}
	return err
}

// again reports whether a refused attempt can be repeated with other credentials.
func (a *authorizer) again(ctx context.Context, at *attempt, offers []challenge) (bool, error) {
	if err := a.acquireTurn(ctx); err != nil {
		return false, err
	}
	defer a.releaseTurn()
	switch {
	case a.account.RegistryToken != "":
		return false, nil
	case at.header == "":
		return a.learn(offers), nil
	case a.offer.scheme == "basic":
		return false, nil
	case at.cached && at.renewals < maxRetries:
		a.tokens.drop(at.key, at.token) // does nothing if another request has replaced it
		at.renewals++
		a.learn(offers)
		return true, nil
	case !at.classless:
		at.classless = true
		return true, nil
	}
	return false, nil
}

// learn chooses one of an endpoint's challenges, and reports whether it found
// one. It prefers tokens, which expose least, to the account itself. Of equal
// challenges it takes the first that can be answered. A token server with a
// refused address comes last; its use then fails with the reason.
func (a *authorizer) learn(offers []challenge) bool {
	for _, isChoice := range []func(challenge) bool{
		func(c challenge) bool { return a.namesTokenServer(c) && a.checkRealm(c) == nil },
		func(c challenge) bool { return c.scheme == "basic" && a.hasAccount() },
		a.namesTokenServer,
	} {
		if at := slices.IndexFunc(offers, isChoice); at >= 0 {
			a.offer = offers[at]
			return true
		}
	}
	return false
}

func (a *authorizer) namesTokenServer(c challenge) bool {
	return c.scheme == "bearer" && c.parameters["realm"] != ""
}

func (a *authorizer) checkRealm(c challenge) error {
	_, err := a.realm(c)
	return err
}

func (a *authorizer) hasAccount() bool {
	_, secret, err := credentials(&a.account)
	return err != nil || secret != ""
}

func (a *authorizer) basic() (string, error) {
	user, secret, err := credentials(&a.account)
	if err != nil {
		return "", err
	}
	return basicHeader(user, secret), nil
}

func basicHeader(user, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret))
}

func (a *authorizer) acquireTurn(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *authorizer) releaseTurn() { <-a.turn }
