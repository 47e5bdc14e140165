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
	// maxTokenAnswerBytes bounds a token server's answer, which can have a token
	// twice, and more besides.
	maxTokenAnswerBytes = 256 << 10
	// maxTokenBytes bounds a token, which is sent in a header.
	maxTokenBytes = maxHeaderBytes
	// clientID is how docker introduces itself to token servers.
	clientID = "docker"
)

// bearer sets the header of an attempt to a token, a new one if none is here
// that is still good. The caller holds the turn.
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

// prove asks for a token to the repository alone before an account that is not
// proven yet is sent along with other repositories: a refusal would not tell
// whether the account is wrong, or has no right to those.
func (a *authorizer) prove(ctx context.Context, at *attempt) error {
	if len(at.sources) == 0 || !a.isUnproven() {
		return nil
	}
	return a.bearer(ctx, &attempt{})
}

// classlessBearer is bearer after the token server has refused the class of
// plugins. It is asked for no more, unless other repositories were the reason.
func (a *authorizer) classlessBearer(ctx context.Context, at *attempt) error {
	at.classless = true
	err := a.bearer(ctx, at)
	if err == nil && len(at.sources) == 0 {
		a.classless.Store(true)
	}
	return err
}

// scopes are the rights that a token has to give: to a plugin besides that to a
// repository, which is all that most token servers know, and what the endpoint
// itself names.
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

// mergeScopes names each resource once, with all actions that are asked for:
// https://distribution.github.io/distribution/spec/auth/scope/
func mergeScopes(scopes []string) []string {
	var resources []string
	actions := map[string][]string{}
	for _, scope := range scopes {
		end := max(strings.LastIndex(scope, ":"), 0)
		resource := scope[:end]
		if _, known := actions[resource]; !known {
			resources = append(resources, resource)
		}
		for action := range strings.SplitSeq(strings.TrimPrefix(scope[end:], ":"), ",") {
			if !slices.Contains(actions[resource], action) {
				actions[resource] = append(actions[resource], action)
			}
		}
	}
	for i, resource := range resources {
		resources[i] = resource + ":" + strings.Join(actions[resource], ",")
	}
	return resources
}

// newToken asks for a token. A server that fails is asked again.
func (a *authorizer) newToken(ctx context.Context, scopes []string) (t token, err error) {
	err = a.endpoint.session.client.options.persist(ctx, func() (err error) {
		t, err = a.askForToken(ctx, scopes)
		return err
	})
	return t, err
}

// isRejection reports whether an error can mean that the account is wrong, and
// not only that it lacks a right: it is then not sent again. Token servers say so
// with several statuses.
func (a *authorizer) isRejection(err error) bool {
	status := statusOf(err)
	return status != nil && status.isRefusal() && a.isUnproven()
}

// refusesClass reports whether a token server refused what it was asked for. An
// account that is not proven yet can be the reason, unless the server names the
// scope as such (RFC 6749, section 5.2: invalid_scope).
func (a *authorizer) refusesClass(err error) bool {
	status := statusOf(err)
	if status == nil || !status.isRefusal() {
		return false
	}
	namesScope := status.status == http.StatusBadRequest && strings.Contains(strings.ToLower(status.message), "scope")
	return namesScope || !a.isUnproven()
}

// isUnproven reports whether there is an account that can be wrong.
func (a *authorizer) isUnproven() bool { return a.hasAccount() && !a.proven.Load() }

// askForToken asks once: for an identity token by POST, OAuth 2.0 (RFC 6749,
// section 6), otherwise by GET, which every token server knows.
func (a *authorizer) askForToken(ctx context.Context, scopes []string) (token, error) {
	user, secret, err := credentials(&a.account)
	if err != nil {
		return token{}, err
	}
	realm, err := a.realm(a.offer)
	if err != nil {
		return token{}, err
	}
	if user == "" && secret != "" {
		t, err := a.sendForToken(ctx, realm, a.refreshRequest(secret, scopes, originOf(realm)))
		status := statusOf(err)
		if status == nil || status.status != http.StatusNotFound && status.status != http.StatusMethodNotAllowed {
			return t, err
		}
	}
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
	realm.RawQuery = query.Encode()
	return a.sendForToken(ctx, realm, &message{method: http.MethodGet, header: http.Header{}, secret: secrets, home: originOf(realm)})
}

// realm is the address of the token server that an offer names.
func (a *authorizer) realm(offer challenge) (*url.URL, error) {
	from := a.endpoint.address("", nil)
	realm, err := resolveLocation(from, offer.parameters["realm"])
	if err != nil {
		return nil, err
	}
	return realm, checkStep(from, realm, a.endpoint.insecure)
}

func (a *authorizer) refreshRequest(identity string, scopes []string, home origin) *message {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {identity},
		"service":       {a.offer.parameters["service"]},
		"client_id":     {clientID},
		"scope":         {strings.Join(scopes, " ")},
	}.Encode()
	return &message{
		method:  http.MethodPost,
		header:  http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		home:    home,
		private: true,
		body:    func() io.ReadCloser { return io.NopCloser(strings.NewReader(form)) },
		size:    int64(len(form)),
	}
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
