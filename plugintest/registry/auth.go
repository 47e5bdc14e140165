package registry

import (
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
	// User everybody may, but needs a token.
	User, Password string
	// IdentityToken stands for the account, too.
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

	mu     sync.Mutex
	scopes [][]string // that were asked for
}

// Scopes returns what tokens were asked for, since the last call.
func (a *Auth) Scopes() [][]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	scopes := a.scopes
	a.scopes = nil
	return scopes
}

// allows answers requests that lack a right.
func (a *Auth) allows(w http.ResponseWriter, request *http.Request, name string) bool {
	if a.Basic {
		user, password, _ := request.BasicAuth()
		if user == a.User && password == a.Password {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return false
	}
	action := "pull"
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		action = "push"
	}
	token, _ := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if a.grants(strings.Split(token, " "), name, action) {
		return true
	}
	realm := a.Realm
	if realm == "" {
		realm = "http://" + request.Host + tokenPath
	}
	challenge := fmt.Sprintf(`Bearer realm=%q,service="test",scope="repository:%s:%s"`, realm, name, action)
	if token != "" {
		challenge += `,error="insufficient_scope"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

// grants looks for a right in a token, which is a list of scopes here.
func (a *Auth) grants(scopes []string, name, action string) bool {
	return slices.ContainsFunc(scopes, func(scope string) bool {
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
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	case a.RefusePlugins && namesPlugins:
		refuse(w, http.StatusBadRequest, "SCOPE_INVALID", "class is not known")
		return
	case a.ForgetAll && namesPlugins:
		scopes = []string{"none"}
	}
	token := strings.Join(scopes, " ")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token, "expires_in": 300})
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
