// Package executortest is a conformance kit for executors: what
// [github.com/dovetailhq/plugin.Executor] promises, as tests.
//
// An implementation calls [Run] from a test of its own:
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
// The kit starts a small program of its own, which it builds with the Go
// toolchain; it needs no image and no network. It checks that
//
//   - Create returns once the process was started, output flows while it runs
//     and is complete when both streams are closed, which happens once, also
//     after a Create that failed;
//   - IsRunning tells an unknown, a living and a dead run;
//   - the end of the main process is reported soon, whether it ended by
//     itself, by SIGTERM or by SIGKILL, and nothing else is reported;
//   - exit codes and pids are honest where an executor tells them;
//   - a failed Create names its cause and leaves nothing, and a Create over
//     what a crashed daemon left replaces it;
//   - Restore re-attaches a living run after a daemon restart, with what it
//     wrote meanwhile and with the report of its end, cleans up after a dead
//     one, takes an unknown one calmly, and refuses one that is attended;
//   - Runs, where an executor has it, lists what exists in its own directory;
//   - runs of different ids don't disturb each other;
//   - no goroutine and no file descriptor is left behind.
//
// The kit runs on Linux.
package executortest
