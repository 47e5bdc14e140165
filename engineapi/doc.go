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
// [NewServer] bounds headers. The handlers bound the bodies: 2 MiB each, but
// for build contexts, which the backend limits. A client that sends nothing
// for a minute while it is waited for is given up, and one that does not read
// progress for a minute altogether counts as gone, which cancels what it asked
// for. A large upload that moves, however slowly, is taken to its end.
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
