// Package plugintest helps programs that embed the plugin manager to test
// themselves, without root, containers or a network.
//
// [Executor] is a plugin executor whose runs are goroutines of the test's own
// process. A plugin that it starts listens at once on its socket, answers the
// activation call and obeys SIGTERM; its [Behaviour] says otherwise where a
// test wants a plugin that fails to start, never listens, crashes, ignores
// SIGTERM, or an executor that reports exits in an unusual way.
//
// [CheckRoot] verifies a manager's root directory, and its memory with it.
package plugintest
