// SPDX-License-Identifier: Apache-2.0

// Command driver calls one verb with one case of the corpus on a new manager,
// and prints the cost as JSON. The process's memory and processor time are the
// verb's, because it does nothing else.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/dovetailhq/plugin/test/hostile/corpus"
)

// Result is the cost of one verb.
type Result struct {
	Error       string  // the beginning of a long text
	ErrorBytes  int     // length of the text
	MemoryBytes int64   // maximum above the idle manager
	Seconds     float64 // of processor time in the verb
	Steps       float64 // Seconds in units of the yardstick
	SweepSteps  float64 // of removing the installed plugin
}

func main() {
	name, verb := flag.String("case", "", "name of the case"), flag.String("verb", "", "verb to call")
	dir := flag.String("dir", "", "directory to work in, empty and with a short path")
	flag.Parse()
	result, err := run(*name, *verb, *dir)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(name, verb, dir string) (*Result, error) {
	i := slices.IndexFunc(corpus.Cases, func(c corpus.Case) bool { return c.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("no case is called %q", name)
	}
	w, err := newWorld(corpus.Cases[i], dir)
	if err != nil {
		return nil, err
	}
	defer w.manager.Shutdown()
	call, err := w.prepare(verb)
	if err != nil {
		return nil, fmt.Errorf("prepare %s of %s: %w", verb, name, err)
	}
	before, err := settle()
	if err != nil {
		return nil, err
	}
	spent := processorTime()
	verbErr := call(context.Background())
	result := &Result{Seconds: processorTime() - spent}
	peak, err := memory("VmHWM")
	if err != nil {
		return nil, err
	}
	result.MemoryBytes = peak - before
	step, err := yardstick(dir)
	if err != nil {
		return nil, err
	}
	result.Steps = result.Seconds / step
	if verbErr != nil {
		text := verbErr.Error()
		result.ErrorBytes, result.Error = len(text), text[:min(len(text), 200)]
	}
	spent = processorTime()
	err = w.sweep()
	result.SweepSteps = (processorTime() - spent) / step
	return result, err
}

func processorTime() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
