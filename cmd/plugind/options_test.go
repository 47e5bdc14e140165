// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/containerd/log"
	"gotest.tools/v3/assert"
)

func TestOptionsRefused(t *testing.T) {
	good := options{root: "/a", execRoot: "/b", host: "unix:///c", runtime: "runc"}
	assert.NilError(t, good.validate())
	for _, tc := range []struct {
		name   string
		change func(*options)
		want   string
	}{
		{"relative root", func(o *options) { o.root = "a" }, `--root "a": use an absolute path`},
		{"no exec root", func(o *options) { o.execRoot = "" }, `--exec-root "": use an absolute path`},
		{"tcp host", func(o *options) { o.host = "tcp://0.0.0.0:2375" }, `--host "tcp://0.0.0.0:2375": use a socket such as unix:///run/plugind.sock`},
		{"relative host", func(o *options) { o.host = "unix://c" }, `--host "unix://c": use a socket such as unix:///run/plugind.sock`},
		{"long host", func(o *options) { o.host = "unix:///" + strings.Repeat("x", 107) }, `the path has 108 bytes, a socket's path at most 107`},
		{"unknown group", func(o *options) { o.group = "no-such-group" }, `--group "no-such-group": no such group`},
		{"negative group", func(o *options) { o.group = "-2" }, `--group "-2": no such group`},
		{"no runtime", func(o *options) { o.runtime = "" }, `--runtime is empty: use a name such as runc, or a path`},
		{"all of it", func(o *options) { *o = options{} }, "--root \"\": use an absolute path\n--exec-root \"\": use an absolute path\n--host \"\": use a socket such as unix:///run/plugind.sock\n--runtime is empty"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := good
			tc.change(&o)
			assert.ErrorContains(t, o.validate(), tc.want)
			assert.ErrorContains(t, run(t.Context(), o), tc.want)
		})
	}
}

func TestLogLevels(t *testing.T) {
	before := log.GetLevel()
	defer func() { assert.NilError(t, log.SetLevel(before.String())) }()
	assert.NilError(t, options{logLevel: "warn"}.setUpLog())
	assert.Equal(t, log.GetLevel(), log.WarnLevel)
	assert.ErrorContains(t, options{logLevel: "loud"}.setUpLog(), `--log-level "loud": use debug, info, warn, error or fatal`)
}

func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"an argument", []string{"frob"}, `unknown command "frob" for "plugind"`},
		{"an unknown flag", []string{"--frob"}, "unknown flag: --frob"},
		{"flags are read", []string{
			"--root=r", "--exec-root=e", "--host=h", "--runtime=", "--containerd=c", "--live-restore",
			"--insecure-registry=a", "--insecure-registry=b", "--log-level=loud",
		}, "--root \"r\": use an absolute path\n--exec-root \"e\": use an absolute path\n--host \"h\": use a socket such as unix:///run/plugind.sock\n--runtime is empty: use a name such as runc, or a path\n--log-level \"loud\": use debug"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			command := newCommand()
			command.SetArgs(tc.args)
			assert.ErrorContains(t, command.ExecuteContext(t.Context()), tc.want)
		})
	}
}
