// SPDX-License-Identifier: Apache-2.0

// Package engineapi serves the plugin endpoints of the Docker Engine API. With
// it the stock docker command line, and every other client of that API, can
// manage the plugins of any daemon.
//
//	GET    /plugins                    list
//	GET    /plugins/privileges         what a remote plugin asks for
//	GET    /plugins/{name}/json        inspect
//	POST   /plugins/create             make from a build context
//	POST   /plugins/pull               install from a registry
//	POST   /plugins/{name}/enable      start
//	POST   /plugins/{name}/disable     stop
//	POST   /plugins/{name}/set         change settings
//	POST   /plugins/{name}/upgrade     replace by another version
//	POST   /plugins/{name}/push        upload to a registry
//	DELETE /plugins/{name}             remove
//
// Each is served below /vX.Y and without a version; see
// https://docs.docker.com/reference/api/engine/. A daemon with no other endpoints
// uses [NewHandler]. A daemon with more endpoints implements them as routers of
// docker's form and joins them with [NewRouter] in [NewMux]. A daemon that has
// docker's own API server gives it NewRouter.
//
// # Slow and excessive clients
//
// [NewServer] bounds the headers and the query of a request, and [NewMux] the body and the
// answer, on all routes. A body ends at 1 MiB, unless its route is [Streaming].
// It must arrive within a minute in total, and the handler begins when it has.
// All bodies together take 16 MiB of memory at most, besides 4 KiB of each; a
// body that waits for memory for a minute is answered with 503.
// A streaming body, such as a build context, may have any length. Its client is
// given up once it sends nothing for a minute, or, after a first minute of
// waiting, less than 1 KiB a second on average. The same holds for clients that
// read their answers. A client that leaves progress unread for a minute in
// total counts as gone, and its request is cancelled. In any case the
// connection is closed two minutes after the handler has returned.
//
// # Answers
//
// An error is answered as {"message": …} with the status of its class, as
// docker does: 400 for an invalid parameter, 404 for not found, 409 for a
// conflict, and so on. An error of no class is logged and answered with 500.
// Verbs that report progress stream it as JSON messages. An error after the
// first message becomes the last message of the stream, because the status has
// been sent already.
package engineapi
