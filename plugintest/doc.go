// SPDX-License-Identifier: Apache-2.0

// Package plugintest is for tests of programs that embed the plugin manager. The
// tests need no root, containers or network.
//
// [Executor] is a fake plugin executor. Its runs are goroutines of the test
// process. By default a plugin listens on its socket at once, answers the
// activation call and obeys SIGTERM. A [Behaviour] makes a plugin fail to start,
// never listen, crash or ignore SIGTERM, or makes the executor report exits in an
// unusual way.
//
// [CheckRoot] verifies a manager's root directory and, optionally, its memory.
package plugintest
