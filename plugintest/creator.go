// SPDX-License-Identifier: Apache-2.0

package plugintest

import "github.com/dovetailhq/plugin"

// Creator returns a function for CreateExecutor in plugin.ManagerConfig. The
// function returns this executor, and makes it report exits to the manager. After
// another call the reports go to the newer manager, as after the restart of a
// daemon.
func (e *Executor) Creator() plugin.ExecutorCreator {
	return func(m *plugin.Manager) (plugin.Executor, error) {
		// The only error is an unknown ID, which tests that report made-up
		// exits expect.
		e.HandleExits(func(id string) { _ = m.HandleExitEvent(id) })
		return e, nil
	}
}

var (
	_ plugin.Executor     = (*Executor)(nil)
	_ plugin.ExitReporter = (*Executor)(nil)
	_ plugin.PidReporter  = (*Executor)(nil)
)
