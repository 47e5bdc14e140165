package plugintest

import "github.com/dovetailhq/plugin"

// Creator returns what plugin.ManagerConfig takes as CreateExecutor: it gives
// the manager this executor, and the executor's exit reports to the manager.
// When it is called again the reports go to the newer manager, as after the
// restart of a daemon.
func (e *Executor) Creator() plugin.ExecutorCreator {
	return func(m *plugin.Manager) (plugin.Executor, error) {
		// The manager's only error is that it does not know the id, which a
		// test that reports made-up ends expects.
		e.HandleExits(func(id string) { _ = m.HandleExitEvent(id) })
		return e, nil
	}
}

var (
	_ plugin.Executor     = (*Executor)(nil)
	_ plugin.ExitReporter = (*Executor)(nil)
	_ plugin.PidReporter  = (*Executor)(nil)
)
