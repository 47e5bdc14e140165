// Command probe is the program that the executor kit runs in containers. Its
// arguments are the steps of package probe.
package main

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/dovetailhq/plugin/plugintest/internal/probe"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM)
	os.Exit(probe.Run(probe.Process{
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Signals: signals,
		Child:   child,
	}, os.Args[1:]))
}

// child starts this program again with the same streams, so that the child can hold
// them open after the end of the parent.
func child(steps []string) (wait func(), err error) {
	command := exec.Command("/proc/self/exe", steps...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Start(); err != nil {
		return nil, err
	}
	return func() { command.Wait() }, nil
}
