// SPDX-License-Identifier: Apache-2.0

// Package executortest is a conformance kit for executors: tests of the contract of
// [github.com/dovetailhq/plugin.Executor].
//
// An implementation calls [Run] from a test:
//
//	func TestConformance(t *testing.T) {
//		executortest.Run(t, executortest.Subject{
//			New: func(t *testing.T, state string, exits func(id string)) (executortest.Executor, func()) {
//				e, err := mine.New(state, exits)
//				if err != nil {
//					t.Fatal(err)
//				}
//				return e, e.Close
//			},
//		})
//	}
//
// The kit starts a small program, which it builds with the Go toolchain. It needs no
// image and no network. It checks that
//
//   - Create returns once the process was started; output arrives while the process
//     runs, and is complete when both streams are closed; each stream is closed
//     once, also after a failed Create;
//   - IsRunning distinguishes unknown, living and dead runs;
//   - the end of the main process is reported soon, whether it ended by itself, by
//     SIGTERM or by SIGKILL, and nothing else is reported;
//   - exit codes and PIDs are right if the executor returns them;
//   - a failed Create names its cause and leaves nothing, and Create replaces a run
//     that a crashed daemon left;
//   - Restore re-attaches a living run after a daemon restart, with its output since
//     and with the report of its end; it cleans up a dead run, accepts an unknown
//     ID, and refuses a run that is already attached;
//   - Runs, if the executor has it, lists the runs in its own directory;
//   - runs of different IDs don't disturb each other;
//   - no goroutine and no file descriptor is leaked.
//
// The kit runs on Linux.
package executortest
