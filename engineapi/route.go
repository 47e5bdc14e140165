// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"regexp"
	"strings"

	"github.com/docker/docker/api/server/router"
)

// compiledRoute is a route in docker's syntax, such as /plugins/{name:.*}/json,
// compiled for matching.
type compiledRoute struct {
	method  string
	path    *regexp.Regexp
	handler apiFunc
}

func compile(route router.Route, wrap func(apiFunc) apiFunc, bodies *budget) compiledRoute {
	read := bodies.buffered
	if _, ok := route.(streaming); ok {
		read = streamed
	}
	return compiledRoute{
		method:  route.Method(),
		path:    compilePath(route.Path()),
		handler: read(wrap(route.Handler())),
	}
}

var variable = regexp.MustCompile(`\{(\w+)(?::([^{}]+))?\}`)

// compilePath turns {name} into one path element and {name:expression} into a
// match of expression, and allows a version prefix.
func compilePath(path string) *regexp.Regexp {
	var expression strings.Builder
	expression.WriteString(`^(?:/v(?P<version>[0-9.]+))?`)
	at := 0
	for _, found := range variable.FindAllStringSubmatchIndex(path, -1) {
		expression.WriteString(regexp.QuoteMeta(path[at:found[0]]))
		matches := `[^/]+`
		if found[4] >= 0 {
			matches = path[found[4]:found[5]]
		}
		expression.WriteString(`(?P<` + path[found[2]:found[3]] + `>` + matches + `)`)
		at = found[1]
	}
	expression.WriteString(regexp.QuoteMeta(path[at:]) + `$`)
	return regexp.MustCompile(expression.String())
}

// match returns the variables of path, with the API version as "version", and
// reports whether the route matches path.
func (c compiledRoute) match(path string) (map[string]string, bool) {
	found := c.path.FindStringSubmatch(path)
	if found == nil {
		return nil, false
	}
	vars := make(map[string]string, len(found))
	for i, name := range c.path.SubexpNames() {
		if name != "" {
			vars[name] = found[i]
		}
	}
	return vars, true
}
