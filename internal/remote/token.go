// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
)

const (
	// maxTokenAnswerBytes bounds a token server's answer. It can hold the token
	// twice and other members.
	maxTokenAnswerBytes = 256 << 10
	// maxTokenBytes bounds a token, which is sent in a header.
	maxTokenBytes = maxHeaderBytes
	// clientID is the client_id that docker sends to token servers.
	clientID = "docker"
)

// bearer sets the header of an attempt to a cached token that is still valid, or
// to a new one. The caller holds the turn.
func (a *authorizer) bearer(ctx context.Context, at *attempt) error {
	scopes := a.scopes(at)
	at.key = strings.Join(scopes, " ")
	at.token, at.cached = a.tokens.get(at.key)
	if !at.token.isGood() {
		if err := a.prove(ctx, at); err != nil {
			return err
		}
		t, err := a.newToken(ctx, scopes)
		if !at.classless && a.refusesClass(err) {
			return a.classlessBearer(ctx, at)
		}
		if a.isRejection(err) {
			a.rejected = err
		}
		if err != nil {
			return err
		}
		a.proven.Store(true)
		at.token, at.cached = t, false
	}
	at.header = "Bearer " + at.token.value
	return nil
}

// prove requests a token for the repository alone if the account is not proven
// yet and the attempt needs other repositories. A refusal for all of them could
// mean a wrong account or a missing right.
func (a *authorizer) prove(ctx context.Context, at *attempt) error {
	if len(at.sources) == 0 || !a.isUnproven() {
		return nil
	}
	return a.bearer(ctx, &attempt{})
}

// classlessBearer is bearer after the token server has refused the class of
// plugins. Later requests leave out the class, unless other repositories may have
// been the reason.
func (a *authorizer) classlessBearer(ctx context.Context, at *attempt) error {
	at.classless = true
	err := a.bearer(ctx, at)
	if err == nil && len(at.sources) == 0 {
		a.classless.Store(true)
	}
	return err
}

// scopes returns the scopes of a token: the repository with the class of plugins,
// the repository without it, because most token servers know no classes, and the
// scopes of the endpoint's challenge.
func (a *authorizer) scopes(at *attempt) []string {
	s := a.endpoint.session
	repository := reference.Path(s.request.Reference)
	var all []string
	if !at.classless {
		all = append(all, fmt.Sprintf("repository(plugin):%s:%s", repository, s.actions))
	}
	all = append(all, fmt.Sprintf("repository:%s:%s", repository, s.actions))
	for _, source := range at.sources {
		all = append(all, fmt.Sprintf("repository:%s:pull", source))
	}
	return mergeScopes(append(all, strings.Fields(a.offer.parameters["scope"])...))
}

// mergeScopes returns each resource once, with all its requested actions, both in
// the order of their first mention. Its cost is linear in the scopes, because a
// registry can name thousands in a challenge:
// https://distribution.github.io/distribution/spec/auth/scope/
func mergeScopes(scopes []string) []string {
	type right struct{ resource, action string }
	var resources []string
	actions := map[string][]string{}
	seen := map[right]struct{}{}
	for _, scope := range scopes {
		end := max(strings.LastIndex(scope, ":"), 0)
		resource := scope[:end]
		if _, known := actions[resource]; !known {
			resources = append(resources, resource)
		}
		for action := range strings.SplitSeq(strings.TrimPrefix(scope[end:], ":"), ",") {
			if _, known := seen[right{resource, action}]; !known {
				seen[right{resource, action}] = struct{}{}
				actions[resource] = append(actions[resource], action)
			}
		}
	}
	for i, resource := range resources {
		resources[i] = resource + ":" + strings.Join(actions[resource], ",")
	}
	return resources
}

// newToken requests a token, with retries.
func (a *authorizer) newToken(ctx context.Context, scopes []string) (t token, err error) {
	err = a.endpoint.session.client.options.persist(ctx, func() (err error) {
		t, err = a.askForToken(ctx, scopes)
		return err
	})
	return t, err
}

// isRejection reports whether an error can mean that the account is wrong. Such
// an account is not sent again. Token servers use several statuses for it.
func (a *authorizer) isRejection(err error) bool {
	status := statusOf(err)
	return status != nil && status.isRefusal() && a.isUnproven()
}

// refusesClass reports whether a token server may have refused the class of
// plugins. If the account is not proven yet, it can be the reason instead, unless
// the server names the scope: invalid_scope in
// https://www.rfc-editor.org/rfc/rfc6749#section-5.2.
func (a *authorizer) refusesClass(err error) bool {
	status := statusOf(err)
	if status == nil || !status.isRefusal() {
		return false
	}
	return status.namesScope() || !a.isUnproven()
}

// isUnproven reports whether there is an account, and no server has accepted it.
func (a *authorizer) isUnproven() bool { return a.hasAccount() && !a.proven.Load() }

// tokenQuestion is one way to request a token. Another way follows if the token server
// itself, and no host that it redirects to, answers with one of the statuses in unknown
// and names neither the account nor the scope as the reason.
type tokenQuestion struct {
	to      *url.URL
	message *message
	unknown []int
}

// askForToken requests a token once, in the ways that token servers know.
func (a *authorizer) askForToken(ctx context.Context, scopes []string) (t token, err error) {
	user, secret, err := credentials(&a.account)
	if err != nil {
		return token{}, err
	}
	realm, err := a.realm(a.offer)
	if err != nil {
		return token{}, err
	}
	for i, question := range a.questions(realm, user, secret, scopes) {
		answer, refusal := a.sendForToken(ctx, question.to, question.message)
		status := statusOf(refusal)
		// A server that does not know the second way gave its reason to the first.
		if i == 0 || status == nil || !slices.Contains(unknownMethod, status.status) {
			t, err = answer, refusal
		}
		if status == nil || status.host != realm.Host || !slices.Contains(question.unknown, status.status) || status.isInvalidGrant() || status.namesScope() {
			break
		}
	}
	return t, err
}

// unknownMethod are the statuses of servers that do not know a method.
var unknownMethod = []int{http.StatusNotFound, http.StatusMethodNotAllowed}

// questions returns the ways to request a token. An identity token is sent by POST,
// see https://www.rfc-editor.org/rfc/rfc6749#section-6. Some servers know only GET, and
// answer POST with 400 or 401, see
// https://github.com/containerd/containerd/blob/v2.1.5/core/remotes/docker/authorizer.go.
// A password is sent by GET, which almost every server knows, or else by POST:
// https://distribution.github.io/distribution/spec/auth/oauth/. Some servers that know
// only POST answer GET with 400.
func (a *authorizer) questions(realm *url.URL, user, secret string, scopes []string) []tokenQuestion {
	get := a.getQuestion(realm, user, secret, scopes)
	switch {
	case secret == "":
		return []tokenQuestion{get}
	case user == "":
		post := a.postQuestion(realm, scopes, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {secret}})
		post.unknown = append([]int{http.StatusBadRequest, http.StatusUnauthorized}, unknownMethod...)
		return []tokenQuestion{post, get}
	}
	get.unknown = append([]int{http.StatusBadRequest}, unknownMethod...)
	return []tokenQuestion{get, a.postQuestion(realm, scopes, url.Values{"grant_type": {"password"}, "username": {user}, "password": {secret}})}
}

func (a *authorizer) getQuestion(realm *url.URL, user, secret string, scopes []string) tokenQuestion {
	query := realm.Query()
	if service := a.offer.parameters["service"]; service != "" {
		query.Set("service", service)
	}
	for _, scope := range scopes {
		query.Add("scope", scope)
	}
	secrets := http.Header{}
	if secret != "" {
		secrets.Set("Authorization", basicHeader(user, secret))
		if user != "" {
			query.Set("account", user)
		}
	}
	to := *realm
	to.RawQuery = query.Encode()
	return tokenQuestion{to: &to, message: &message{method: http.MethodGet, header: http.Header{}, secret: secrets, home: originOf(realm)}}
}

// postQuestion returns a question with a grant. Only the token server itself receives
// it.
func (a *authorizer) postQuestion(realm *url.URL, scopes []string, grant url.Values) tokenQuestion {
	grant.Set("service", a.offer.parameters["service"])
	grant.Set("client_id", clientID)
	grant.Set("scope", strings.Join(scopes, " "))
	form := grant.Encode()
	return tokenQuestion{to: realm, message: &message{
		method:  http.MethodPost,
		header:  http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		home:    originOf(realm),
		private: true,
		body:    func() io.ReadCloser { return io.NopCloser(strings.NewReader(form)) },
		size:    int64(len(form)),
	}}
}

// realm returns the address of the token server in a challenge.
func (a *authorizer) realm(offer challenge) (*url.URL, error) {
	from := a.endpoint.address("", nil)
	realm, err := resolveLocation(from, offer.parameters["realm"])
	if err != nil {
		return nil, err
	}
	return realm, checkStep(from, realm, a.endpoint.insecure)
}

func (a *authorizer) sendForToken(ctx context.Context, realm *url.URL, m *message) (token, error) {
	s := a.endpoint.session
	m.header = s.publicHeader(m.header)
	m.mayLeaveTLS = a.endpoint.insecure
	response, err := s.client.options.insist(ctx, true, func() (*http.Response, error) {
		return m.send(ctx, a.endpoint.tokenWire, realm)
	})
	if err != nil {
		return token{}, err
	}
	defer response.Body.Close()
	host := response.Request.URL.Host
	data, err := readDocument(response, maxTokenAnswerBytes, &ProtocolError{Host: host, Why: "its answer is too long for a token"})
	if err != nil {
		return token{}, err
	}
	t, err := parseToken(host, data)
	if err == nil {
		s.tokens.note(t.value)
	}
	return t, err
}

func parseToken(host string, data []byte) (token, error) {
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return token{}, &ProtocolError{Host: host, Why: "its token can't be read: " + err.Error()}
	}
	t := token{value: cmp.Or(answer.AccessToken, answer.Token)}
	switch {
	case t.value == "":
		return token{}, &ProtocolError{Host: host, Why: "its answer has no token"}
	case len(t.value) > maxTokenBytes:
		return token{}, &ProtocolError{Host: host, Why: fmt.Sprintf("its token has more than the %d bytes of a header", maxTokenBytes)}
	}
	if answer.ExpiresIn > 0 {
		t.expires = time.Now().Add(time.Duration(min(answer.ExpiresIn, 1<<30)) * time.Second)
	}
	return t, nil
}
