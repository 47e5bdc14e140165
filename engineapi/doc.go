// Package engineapi serves the plugin endpoints of the Docker Engine API, so
// that the stock docker command line and every client of that API can manage
// the plugins of any daemon that mounts it.
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
// Each is served below /vX.Y and without a version. A daemon with nothing
// else to serve uses [NewHandler]. One with more endpoints gives them the
// form of docker's routers and joins them to [NewRouter] in [NewMux]; one that
// has docker's own API server hands it NewRouter.
//
// # Slow and excessive clients
//
// [NewServer] bounds headers, and [NewMux] what follows them, on all its
// routes. A body ends at 1 MiB, unless its route is [Streaming]; it has a
// minute to arrive, altogether, and the handler begins when it is there. A
// streaming body, such as a build context, has no bound here: its client is
// given up once it sends nothing for a minute, or, beyond a first minute of
// waiting, less than 1 KiB a second on average. The same goes for clients that
// read their answers. A client that leaves progress unread for a minute
// altogether counts as gone, which cancels what it asked for. Whatever a client
// does, its connection is closed two minutes after the handler has returned.
//
// # Answers
//
// An error is answered as {"message": …} with the status of its class, as
// docker does: 400 for an invalid parameter, 404 for what is not found, 409
// for a conflict, and so on; an error of no class is 500 and logged. Verbs
// that report progress stream it as JSON messages. An error that comes after
// the first of them is the last message of the stream, because its status has
// been sent already.
package engineapi
