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

// tokenPath is where the registry's own token server answers.
const tokenPath = "/token"

// Auth guards a registry, by basic authentication or by tokens from a server
// of its own, and tells which variant of it.
type Auth struct {
	// User and Password are the account that may do everything; with an empty
	// User all clients may, but need a token.
	User, Password string
	// IdentityToken also stands for the account.
	IdentityToken string
	// Basic asks for the account itself instead of for a token.
	Basic bool
	// Realm is the token server to name; empty means this registry.
	Realm string
	// RefusePlugins is a token server that does not know the class of plugins
	// and refuses requests that name it.
	RefusePlugins bool
	// ForgetAll is a token server that gives tokens without any rights to
	// requests that name the class of plugins.
	ForgetAll bool
	// OnlyPlugins is a registry that lets in only those with a right to the
	// plugin.
	OnlyPlugins bool

	// Uses is how many requests a token is good for: one that has expired is
	// refused like one that is wrong. Zero means any number.
	Uses int
	// ExpiresIn is what the token server says of how long tokens are good, in
	// seconds. Zero means 300, a negative number that it does not say.
	ExpiresIn int
	// Opaque is a registry whose refusals do not say what is wrong with a token.
	Opaque bool
	// Before and After are challenges that the registry names besides its own:
	// Basic realm="test". OneField puts all of them into one header field
	// instead of one for each.
	Before, After []string
	OneField      bool
	// Hidden are repositories to which no account has a right. Tokens are given
	// without it, or refused with RefuseHidden, a status.
	Hidden       []string
	RefuseHidden int

	mu       sync.Mutex
	scopes   [][]string // that were asked for
	rejected int
	given    int            // tokens
	used     map[string]int // requests for each token
}

// Scopes returns what tokens were asked for, since the last call.
func (a *Auth) Scopes() [][]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	scopes := a.scopes
	a.scopes = nil
	return scopes
}

// Rejected returns how many requests had an account that is wrong, since the
// last call.
func (a *Auth) Rejected() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	rejected := a.rejected
	a.rejected = 0
	return rejected
}

// allows answers requests that lack a right.
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
	if a.use(token) && a.grants(token, name, action) && (from == "" || a.grants(token, from, "pull")) {
		return true
	}
	realm := a.Realm
	if realm == "" {
		realm = "http://" + request.Host + tokenPath
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

// refuse answers with the challenges of the registry.
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

// use counts a use of a token, and reports whether it is still good.
func (a *Auth) use(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used == nil {
		a.used = map[string]int{}
	}
	a.used[token]++
	return a.Uses == 0 || a.used[token] <= a.Uses
}

// grants looks for a right in a token, which is a list of scopes here.
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
	switch {
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

// give answers with a token for some scopes.
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

// hides reports whether a scope is of a hidden repository.
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
	return isUser || a.IdentityToken != "" && request.Form.Get("refresh_token") == a.IdentityToken
}
