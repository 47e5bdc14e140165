// SPDX-License-Identifier: Apache-2.0

package behaviour

import "slices"

// Patterns of the differences.
const (
	anything  = "*"
	something = "+"

	ok                  = "ok"
	unclassed           = "no class, status 500"
	invalid             = "InvalidParameter, status 400"
	conflict            = "Conflict, status 409"
	notFound            = "NotFound, status 404"
	unauthorized        = "Unauthorized, status 401"
	forbidden           = "Forbidden, status 403"
	unavailable         = "Unavailable, status 503"
	notImplemented      = "NotImplemented, status 501"
	notImplementedStart = "NotImplemented, status 500"
	system              = "System, status 500"
	dataLoss            = "DataLoss, status 500"
	cancelled           = "Cancelled, status 500"
	alreadyExists       = "AlreadyExists, status 500"

	// effects are the aspects of a verb besides its error.
	effects = "events|log|logged name|names|result|settings*|spec|requests"
)

func class(steps, docker, ours string) Seen { return Seen{steps, "class", docker, ours} }

func text(steps, docker, ours string) Seen { return Seen{steps, "text", docker, ours} }

func effect(steps, aspect, docker, ours string) Seen { return Seen{steps, aspect, docker, ours} }

// classed matches errors of both managers that differ in class and text.
func classed(steps, dockerClass, oursClass, dockerText, oursText string) []Seen {
	return []Seen{class(steps, dockerClass, oursClass), text(steps, dockerText, oursText)}
}

// onlyOurs matches a verb that fails or panics in docker's manager and succeeds
// in ours, with its effects.
func onlyOurs(steps, dockerClass, dockerText, aspects string) []Seen {
	return []Seen{class(steps, dockerClass, ok), text(steps, dockerText, ""), effect(steps, aspects, "", something)}
}

// onlyDocker matches a verb that succeeds only in docker's manager.
func onlyDocker(steps, oursClass, oursText, aspects string) []Seen {
	return []Seen{class(steps, ok, oursClass), text(steps, "", oursText), effect(steps, aspects, something, "")}
}

func all(seen ...[]Seen) []Seen { return slices.Concat(seen...) }
