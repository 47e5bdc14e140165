// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// tokenPath is the path of the registry's own token server.
const tokenPath = "/token"

// Auth configures how a registry authenticates clients: by basic authentication, or
// by tokens from its own token server.
type Auth struct {
	// User and Password are the account with all rights. If User is empty, all
	// clients have all rights but need a token.
	User, Password string
	// IdentityToken, if set, is another credential of the account.
	IdentityToken string
	// Basic requires basic authentication instead of a token.
	Basic bool
	// Realm is the token server in challenges. Empty means this registry.
	Realm string
	// RefusePlugins makes the token server refuse requests with the class
	// plugin, like servers that do not know it.
	RefusePlugins bool
	// ForgetAll makes the token server return tokens without rights for requests
	// with the class plugin.
	ForgetAll bool
	// RefuseGet and RefusePost are the statuses with which the token server answers
	// requests with these methods. Zero means that it knows the method.
	RefuseGet, RefusePost int
	// PushOnly makes the registry refuse requests that need the right to pull, also
	// those of the account. It has no effect on basic authentication.
	PushOnly bool
	// OnlyPlugins makes the registry accept only rights with the class plugin.
	OnlyPlugins bool

	// Uses is the number of requests for which a token is valid. An expired token
	// is refused like a wrong one. Zero means no limit.
	Uses int
	// ExpiresIn is the lifetime of tokens in the token server's answers, in
	// seconds. Zero means 300; if it is negative, answers have no lifetime.
	ExpiresIn int
	// Opaque makes challenges omit the reason why a token was refused.
	Opaque bool
	// Before and After are additional challenges, for example
	// Basic realm="test", before and after the registry's own. OneField puts all
	// challenges into one header field instead of separate fields.
	Before, After []string
	OneField      bool
	// Hidden lists repositories to which no account has a right. The token server
	// returns tokens without rights to them, or refuses with the status
	// RefuseHidden if it is set.
	Hidden       []string
	RefuseHidden int

	mu       sync.Mutex
	scopes   [][]string // requested scopes
	rejected int
	given    int            // number of tokens
	used     map[string]int // number of requests by token
}

// Scopes returns the scopes of token requests since the last call.
func (a *Auth) Scopes() [][]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	scopes := a.scopes
	a.scopes = nil
	return scopes
}

// Rejected returns the number of requests with wrong credentials since the last
// call.
func (a *Auth) Rejected() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	rejected := a.rejected
	a.rejected = 0
	return rejected
}

// allows reports whether a request has the right that it needs, and otherwise
// answers it.
func (a *Auth) allows(w http.ResponseWriter, request *http.Request, name string) bool {
	if a.Basic {
		return a.allowsAccount(w, request)
	}
	action := "pull"
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		action = "push"
	}
	token, _ := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	from := request.URL.Query().Get("from")
	if a.use(token) && !(a.PushOnly && action == "pull") && a.grants(token, name, action) && (from == "" || a.grants(token, from, "pull")) {
		return true
	}
	realm := a.Realm
	if realm == "" {
		realm = "http://" + request.Host + tokenPath
		if request.TLS != nil {
			realm = "https://" + request.Host + tokenPath
		}
	}
	challenge := fmt.Sprintf(`Bearer realm=%q,service="test",scope="repository:%s:%s"`, realm, name, action)
	if token != "" && !a.Opaque {
		challenge += `,error="insufficient_scope"`
	}
	a.refuse(w, challenge)
	return false
}

func (a *Auth) allowsAccount(w http.ResponseWriter, request *http.Request) bool {
	user, password, given := request.BasicAuth()
	if user == a.User && password == a.Password {
		return true
	}
	if given {
		a.reject()
	}
	a.refuse(w, `Basic realm="test"`)
	return false
}

// refuse answers with status 401 and the registry's challenges.
func (a *Auth) refuse(w http.ResponseWriter, own string) {
	challenges := slices.Concat(a.Before, []string{own}, a.After)
	if a.OneField {
		challenges = []string{strings.Join(challenges, ", ")}
	}
	w.Header()["Www-Authenticate"] = challenges
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}

func (a *Auth) reject() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rejected++
}

// use counts a use of a token, and reports whether the token is still valid.
func (a *Auth) use(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used == nil {
		a.used = map[string]int{}
	}
	a.used[token]++
	return a.Uses == 0 || a.used[token] <= a.Uses
}

// grants reports whether a token, which is a list of scopes, has a right.
func (a *Auth) grants(token, name, action string) bool {
	return slices.ContainsFunc(strings.Split(token, " "), func(scope string) bool {
		class, rest, _ := strings.Cut(scope, ":")
		repository, actions, _ := strings.Cut(rest, ":")
		return repository == name && slices.Contains(strings.Split(actions, ","), action) &&
			(class == "repository(plugin)" || class == "repository" && !a.OnlyPlugins)
	})
}

func (a *Auth) serveToken(w http.ResponseWriter, request *http.Request) {
	if err := request.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "MALFORMED", err.Error())
		return
	}
	var scopes []string
	for _, scope := range request.Form["scope"] {
		scopes = append(scopes, strings.Fields(scope)...)
	}
	a.mu.Lock()
	a.scopes = append(a.scopes, scopes)
	a.mu.Unlock()
	namesPlugins := strings.Contains(strings.Join(scopes, " "), "(plugin)")
	unknown := map[string]int{http.MethodGet: a.RefuseGet, http.MethodPost: a.RefusePost}[request.Method]
	switch {
	case unknown != 0:
		refuse(w, unknown, "UNSUPPORTED", "method is not known")
		return
	case !a.knows(request):
		a.reject()
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	case a.RefusePlugins && namesPlugins:
		refuse(w, http.StatusBadRequest, "SCOPE_INVALID", "class is not known")
		return
	case a.ForgetAll && namesPlugins:
		scopes = []string{"none"}
	}
	visible := slices.DeleteFunc(slices.Clone(scopes), a.hides)
	if a.RefuseHidden != 0 && len(visible) < len(scopes) {
		refuse(w, a.RefuseHidden, "DENIED", "no right to the repository")
		return
	}
	a.give(w, visible)
}

// give answers with a token for the given scopes.
func (a *Auth) give(w http.ResponseWriter, scopes []string) {
	token := cmp.Or(strings.Join(scopes, " "), "none")
	if a.Uses > 0 {
		a.mu.Lock()
		a.given++
		token += fmt.Sprintf(" token-%d", a.given)
		a.mu.Unlock()
	}
	answer := map[string]any{"token": token, "access_token": token, "expires_in": 300}
	switch {
	case a.ExpiresIn < 0:
		delete(answer, "expires_in")
	case a.ExpiresIn > 0:
		answer["expires_in"] = a.ExpiresIn
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// hides reports whether a scope names a hidden repository.
func (a *Auth) hides(scope string) bool {
	_, rest, _ := strings.Cut(scope, ":")
	repository, _, _ := strings.Cut(rest, ":")
	return slices.Contains(a.Hidden, repository)
}

func (a *Auth) knows(request *http.Request) bool {
	if a.User == "" && a.IdentityToken == "" {
		return true
	}
	user, password, basic := request.BasicAuth()
	if !basic {
		user, password = request.Form.Get("username"), request.Form.Get("password")
	}
	isUser := a.User != "" && user == a.User && password == a.Password
	identity := request.Form.Get("refresh_token")
	if basic && user == "" {
		identity = password
	}
	return isUser || a.IdentityToken != "" && identity == a.IdentityToken
}
