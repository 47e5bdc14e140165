// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"net/url"
	"path"
	"regexp"

	"github.com/docker/go-plugins-helpers/authorization"
)

// policy decides about requests. It is safe for concurrent use.
type policy struct {
	// trusted are the users who may do everything. A daemon knows users only by
	// their certificates: https://docs.docker.com/engine/security/protect-access/
	trusted map[string]bool
}

var _ authorization.Plugin = policy{}

// creates matches the path of a request for a new container, in any version of the
// API.
var creates = regexp.MustCompile(`^(/v[0-9.]+)?/containers/create$`)

// AuthZReq decides about a request before the daemon handles it.
func (p policy) AuthZReq(request authorization.Request) authorization.Response {
	uri, err := url.Parse(request.RequestURI)
	if err != nil {
		return deny("the request's URI can't be read")
	}
	if p.trusted[request.User] || !creates.MatchString(path.Clean(uri.Path)) {
		return allow
	}
	var container struct {
		HostConfig struct{ Privileged bool }
	}
	// The daemon leaves out a body that is not JSON or that has more than 1 MiB.
	if err := json.Unmarshal(request.RequestBody, &container); err != nil {
		return deny("the container's configuration can't be read")
	}
	if container.HostConfig.Privileged {
		return deny("privileged containers are not allowed here")
	}
	return allow
}

// AuthZRes decides whether the client sees a response. The request was handled.
func (policy) AuthZRes(authorization.Request) authorization.Response { return allow }

var allow = authorization.Response{Allow: true}

func deny(reason string) authorization.Response { return authorization.Response{Msg: reason} }
