// SPDX-License-Identifier: Apache-2.0

//go:build linux

package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/test/crash/drive"
	"github.com/dovetailhq/plugin/test/crash/history"
)

// driverOf returns a driver that is a shell script.
func driverOf(t *testing.T, script string) Driver {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "driver")
	assert.NilError(t, os.WriteFile(binary, []byte("#!/bin/sh\n"+script), 0o755))
	return Driver{Binary: binary, Paths: drive.Paths{Root: "/nowhere", ExecRoot: "/nowhere"}}
}

func TestProcessIsSteppedAndKilled(t *testing.T) {
	d := driverOf(t, `
echo '{"Verb":"create","Name":"p","Value":"v1","At":1}'
read -r turn || true
echo '{"Verb":"create","Name":"p","Value":"v1","Ended":true,"At":2}'
exec sleep 1000`)
	d.Step, d.Workers = true, 5
	p, err := d.Start(7, map[string]history.State{"q": {Installed: true}})
	assert.NilError(t, err)
	assert.Equal(t, strings.Join(p.command.Args[1:], " "), "-root /nowhere -exec-root /nowhere -seed 7 -workers 5 -step")
	p.Await(1)
	assert.NilError(t, p.Turn())
	_, err = p.input.Write([]byte("\n"))
	assert.NilError(t, err)
	p.Await(2)
	ledger, err := p.Kill()
	assert.NilError(t, err)
	<-p.Ended()
	installed := history.State{Installed: true, Debug: "0", Version: "v1"}
	assert.DeepEqual(t, ledger.Possible("p", history.Always, history.Always), []history.State{installed})
	assert.DeepEqual(t, ledger.Possible("q", history.Always, history.Always), []history.State{{Installed: true}})
}

func TestProcessThatEndsByItself(t *testing.T) {
	for _, tt := range []struct{ name, script, want string }{
		{"fails", "echo 'no disk' >&2; exit 3", "exit status 3\nno disk"},
		{"is done", "exit 0", "driver ended by itself"},
		{"talks nonsense", "echo nonsense; exec sleep 1000", "invalid character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := driverOf(t, tt.script).Start(1, nil)
			assert.NilError(t, err)
			p.Await(10)
			_, err = p.Kill()
			assert.ErrorContains(t, err, tt.want)
		})
	}
	_, err := Driver{Binary: "/nowhere"}.Start(1, nil)
	assert.ErrorContains(t, err, "start driver")
}

func TestObserve(t *testing.T) {
	observed, err := driverOf(t, `echo '{"Plugins":{"p":{"Installed":true}},"Problems":["x"]}'`).Observe()
	assert.NilError(t, err)
	assert.DeepEqual(t, observed, drive.Observation{
		Plugins: map[string]history.State{"p": {Installed: true}}, Problems: []string{"x"},
	})
	for _, tt := range []struct{ name, script, want string }{
		{"fails", "echo 'no disk' >&2; exit 3", "exit status 3\nno disk"},
		{"talks nonsense", "echo nonsense", "invalid character"},
		{"can't open", `echo '{"Error":"root in use"}'`, "open manager after a crash: root in use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := driverOf(t, tt.script).Observe()
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestBuildFails(t *testing.T) {
	_, err := Build(t.TempDir(), "./does-not-exist")
	assert.ErrorContains(t, err, "build ./does-not-exist")
}

func TestIsolateOnlyOnce(t *testing.T) {
	t.Setenv(isolated, "yes")
	_, ok := Isolate()
	assert.Check(t, !ok)
}
