// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"strings"
)

// authorization denies containers with a name that begins with "forbidden".
var authorization = handlers{
	"/Plugin.Activate": func(*http.Request) (any, error) { return map[string][]string{"Implements": {"authz"}}, nil },
	"/AuthZPlugin.AuthZReq": func(r *http.Request) (any, error) {
		request, err := asked[struct{ RequestMethod, RequestURI string }](r)
		if err != nil {
			return nil, err
		}
		if strings.Contains(request.RequestURI, "/containers/create?name=forbidden") {
			return map[string]any{"Allow": false, "Msg": "this name is forbidden"}, nil
		}
		return map[string]any{"Allow": true}, nil
	},
	"/AuthZPlugin.AuthZRes": func(*http.Request) (any, error) { return map[string]any{"Allow": true}, nil },
}
