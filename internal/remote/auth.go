package remote

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"sync/atomic"

	registrytypes "github.com/docker/docker/api/types/registry"
)

// authorizer proves to one endpoint who the user is, once the endpoint has
// asked. It is safe for concurrent use.
type authorizer struct {
	endpoint *endpoint
	account  registrytypes.AuthConfig

	// turn is held by the one that uses what follows, also while it waits for
	// a token that others need as well.
	turn     chan struct{}
	offer    challenge // what the endpoint asks for; empty before it did
	rejected error     // the account was not accepted, and is not sent again

	tokens tokenCache  // those that were accepted
	proven atomic.Bool // the account was accepted
	// classless is a token server that does not know the class of plugins.
	classless atomic.Bool
}

func newAuthorizer(e *endpoint, account registrytypes.AuthConfig) *authorizer {
	return &authorizer{endpoint: e, account: account, turn: make(chan struct{}, 1)}
}

// attempt is how one request is authorized.
type attempt struct {
	sources   []string
	header    string // the Authorization header
	classless bool   // the right to the repository is enough
	key       string // of the token in tokens
	token     token  // that is in the header
	cached    bool   // the token is of an earlier request
	renewals  int    // of tokens that were of earlier requests
}

// authorized sends a call until the endpoint accepts it or nothing is left to
// try. Each 401 is answered with at most one new token.
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

// authorize sets the header of an attempt. The caller reports the endpoint's
// status with judge, and zero if there was no answer. An account that no request
// has proven yet is sent by one request at a time, so that a wrong password is
// sent once.
func (a *authorizer) authorize(ctx context.Context, at *attempt) (judge func(status int), err error) {
	if err := a.take(ctx); err != nil {
		return nil, err
	}
	isProof := a.offer.scheme == "basic" && !a.proven.Load()
	if err := a.choose(ctx, at); err != nil {
		a.leave()
		return nil, err
	}
	if !isProof {
		a.leave()
	}
	return func(status int) {
		// Some registries say 403 of a wrong password. Of a mount it says no more
		// than that the source may not be read.
		refused := status == http.StatusUnauthorized || status == http.StatusForbidden && len(at.sources) == 0
		switch {
		case refused && isProof:
			a.rejected = &statusError{host: a.endpoint.base.Host, status: status, message: "the account was refused before"}
		case status != 0 && status != http.StatusUnauthorized && at.header != "":
			a.accepted(at)
		}
		if isProof {
			a.leave()
		}
	}, nil
}

// accepted learns from an attempt. Other requests use its token only now: one
// that serves for a single request is of no use to them.
func (a *authorizer) accepted(at *attempt) {
	a.proven.Store(true)
	if at.classless && len(at.sources) == 0 {
		a.classless.Store(true)
	}
	if at.token.value != "" {
		a.tokens.put(at.key, at.token)
	}
}

// choose sets the header of an attempt to what the endpoint asks for. The
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

// again reports whether a refused attempt can be made with more.
func (a *authorizer) again(ctx context.Context, at *attempt, offers []challenge) (bool, error) {
	if err := a.take(ctx); err != nil {
		return false, err
	}
	defer a.leave()
	switch {
	case a.account.RegistryToken != "":
		return false, nil
	case at.header == "":
		return a.learn(offers), nil
	case a.offer.scheme == "basic":
		return false, nil
	case at.cached && at.renewals < maxRetries:
		// Unless another request has replaced it already.
		a.tokens.drop(at.key, at.token)
		at.renewals++
		a.learn(offers)
		return true, nil
	case !at.classless:
		at.classless = true
		return true, nil
	}
	return false, nil
}

// learn chooses among what an endpoint offers, and reports whether there is
// something to choose: tokens, which tell the least, before the account itself,
// and the first challenge that can be answered before others. A token server
// that is refused is chosen last, and is then the error.
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

func (a *authorizer) take(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *authorizer) leave() { <-a.turn }
