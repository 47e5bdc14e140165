// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"
)

func TestParseRemote(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options map[string]string
		want    remote
		err     string
	}{
		{"a directory", map[string]string{"sshcmd": "user@machine:/remote"}, remote{"user@machine:/remote", "22"}, ""},
		{"a port", map[string]string{"sshcmd": "a.b@[::1]:/", "port": "2222"}, remote{"a.b@[::1]:/", "2222"}, ""},
		{"none", nil, remote{}, "option sshcmd=: want user@machine:/directory"},
		{"no directory", map[string]string{"sshcmd": "user@machine"}, remote{}, "option sshcmd=user@machine: want"},
		{"an option of ssh", map[string]string{"sshcmd": "-oProxyCommand=x@machine:/"}, remote{}, "want user@machine:/directory"},
		{"an option in place of the machine", map[string]string{"sshcmd": "user@-x:/"}, remote{}, "want user@machine:/directory"},
		{"a word for a port", map[string]string{"sshcmd": "user@machine:/", "port": "ssh"}, remote{}, "option port=ssh: want a number"},
		{"options in a port", map[string]string{"sshcmd": "user@machine:/", "port": "22,ro"}, remote{}, "option port=22,ro: want a number"},
		{"another option", map[string]string{"ssh_command": "x"}, remote{}, `unknown option "ssh_command"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseRemote(tc.options)
			if tc.err != "" {
				assert.ErrorContains(t, err, tc.err)
				return
			}
			assert.NilError(t, err)
			assert.Equal(t, got, tc.want)
		})
	}
}

func TestVolumesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "volumes.json")
	none, err := load(path)
	assert.NilError(t, err)
	assert.Equal(t, len(none), 0)
	volumes := map[string]remote{"data": {"user@machine:/remote", "22"}}
	assert.NilError(t, save(path, volumes))
	kept, err := load(path)
	assert.NilError(t, err)
	assert.DeepEqual(t, kept, volumes)
}
