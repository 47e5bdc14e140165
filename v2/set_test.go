// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testseed"
)

func TestSetAccepts(t *testing.T) {
	source := func(s types.PluginSettings) any { return *s.Mounts[0].Source }
	path := func(s types.PluginSettings) any { return *s.Devices[0].Path }
	env := func(s types.PluginSettings) any { return s.Env }
	args := func(s types.PluginSettings) any { return s.Args }
	tests := []struct {
		name string
		args []string
		look func(types.PluginSettings) any
		want any
	}{
		{"nothing", nil, env, []string{"DEBUG=0", "LOGGING=1"}},
		{"env", []string{"DEBUG=1"}, env, []string{"DEBUG=1", "LOGGING=1"}},
		{"env with its field", []string{"DEBUG.value=1"}, env, []string{"DEBUG=1", "LOGGING=1"}},
		{"env without a value so far", []string{"TOKEN=x"}, env, []string{"DEBUG=0", "LOGGING=1", "TOKEN=x"}},
		{"env to an empty value", []string{"DEBUG="}, env, []string{"DEBUG=", "LOGGING=1"}},
		{"env by name alone", []string{"DEBUG"}, env, []string{"DEBUG=", "LOGGING=1"}},
		{"env with equals signs and newline", []string{"DEBUG=a=b\n=c"}, env, []string{"DEBUG=a=b\n=c", "LOGGING=1"}},
		{"repeated, the last wins", []string{"DEBUG=1", "DEBUG.value=2", "DEBUG=3"}, env, []string{"DEBUG=3", "LOGGING=1"}},
		{"mount", []string{"state=/other"}, source, "/other"},
		{"mount with its field", []string{"state.source=/other"}, source, "/other"},
		{"mount to an empty source", []string{"state="}, source, ""},
		{"device", []string{"fuse=/dev/other"}, path, "/dev/other"},
		{"device with its field", []string{"fuse.path=/dev/other"}, path, "/dev/other"},
		{"args", []string{"flags=a b"}, args, []string{"a", "b"}},
		{"args with their field", []string{"flags.value=a"}, args, []string{"a"}},
		{"args, single quotes", []string{"flags='a b' c"}, args, []string{"a b", "c"}},
		{"args, double quotes", []string{`flags=--x="a \"b\" c"`}, args, []string{`--x=a "b" c`}},
		{"args, backslash", []string{`flags=a\ b`}, args, []string{"a b"}},
		{"args, an empty word", []string{`flags=a ''`}, args, []string{"a", ""}},
		{"args, white space", []string{"flags= \t a \n "}, args, []string{"a"}},
		{"no args", []string{"flags="}, args, []string{}},
		{"no args by name alone", []string{"flags"}, args, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := example()
			before := p.Snapshot()
			assert.NilError(t, p.Set(tt.args))
			assert.DeepEqual(t, tt.look(p.PluginObj.Settings), tt.want)
			assert.DeepEqual(t, p.PluginObj.Config, before.Config)
		})
	}
}

func TestSetRefuses(t *testing.T) {
	settable := []string{"DEBUG", "TOKEN", "state.source", "fuse.path", "flags.value"}
	tests := []struct {
		name    string
		arg     string
		setting string
		reason  string
	}{
		{"unknown name", "OTHER=1", "OTHER", "is not in the config of this plugin"},
		{"other case", "debug=1", "debug", "is not in the config of this plugin"},
		{"nothing", "", "", "names no setting: want NAME=value"},
		{"no name", "=x", "", "names no setting: want NAME=value"},
		{"only dots", "..=x", "..", "is not in the config of this plugin"},
		{"env that is not settable", "LOGGING=0", "LOGGING", "is not settable"},
		{"mount that is not settable", "scratch=/x", "scratch", "is not settable"},
		{"device that is not settable", "fixed.path=/dev/zero", "fixed.path", "is not settable"},
		{"field of another kind", "state.path=/x", "state.path", "is not settable"},
		{"field that is never settable", "state.destination=/x", "state.destination", "is not settable"},
		{"empty field", "state.=/x", "state.", "is not settable"},
		{"field of a field", "state.source.source=/x", "state.source.source", "is not settable"},
		{"NUL byte", "TOKEN=secret\x00", "TOKEN", "has a value with a NUL byte"},
		{"not UTF-8", "TOKEN=secret\xff", "TOKEN", "has a value that is not valid UTF-8"},
		{"open single quote", "flags='secret", "flags", "has an unterminated quote or escape in its value"},
		{"open double quote", `flags="secret`, "flags", "has an unterminated quote or escape in its value"},
		{"open escape", `flags=secret\`, "flags", "has an unterminated quote or escape in its value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := example()
			before := p.Snapshot()
			err := p.Set([]string{"DEBUG=1", tt.arg, "state=/other"})
			var refused *InvalidSettingError
			assert.Assert(t, errors.As(err, &refused), "%v", err)
			assert.DeepEqual(t, refused, &InvalidSettingError{Setting: tt.setting, Reason: tt.reason, Settable: settable})
			assert.DeepEqual(t, p.PluginObj, before)
		})
	}
}

// TestSetPublishesNewMemory: a reader of the earlier settings keeps what it has read.
func TestSetPublishesNewMemory(t *testing.T) {
	p := example()
	held := p.PluginObj.Settings
	assert.NilError(t, p.Set([]string{"DEBUG=1", "state=/other", "fuse=/dev/other", "flags=x"}))
	assert.Equal(t, held.Env[0], "DEBUG=0")
	assert.Equal(t, *held.Mounts[0].Source, "/var/lib/state")
	assert.Equal(t, *held.Devices[0].Path, "/dev/fuse")
	assert.Equal(t, held.Args[0], "--verbose")
	assertNoSharedMemory(t, types.Plugin{Settings: held}, types.Plugin{Settings: p.PluginObj.Settings})
}

// TestSetIsAllOrNothing applies random lists of arguments. With a bad argument
// nothing changes; otherwise the order of different settings does not matter.
func TestSetIsAllOrNothing(t *testing.T) {
	seed := testseed.Of(t)
	random := rand.New(rand.NewPCG(seed, 0))
	good := []string{"DEBUG=1", "DEBUG=2", "TOKEN=a=b", "state=/x", "state.source=/y", "fuse.path=/dev/z", "flags=a 'b c'", "flags="}
	bad := []string{"OTHER=1", "LOGGING=1", "state.path=/x", "flags='", "DEBUG=\x00", "=", "fixed=/dev/x"}
	for range 500 {
		args := make([]string, random.IntN(8))
		for i := range args {
			args[i] = good[random.IntN(len(good))]
		}
		oneByOne, atOnce, spoiled := example(), example(), example()
		for _, arg := range args {
			assert.NilError(t, oneByOne.Set([]string{arg}))
		}
		assert.NilError(t, atOnce.Set(args))
		assert.DeepEqual(t, atOnce.PluginObj, oneByOne.PluginObj)

		at := random.IntN(len(args) + 1)
		withBad := append(append(append([]string{}, args[:at]...), bad[random.IntN(len(bad))]), args[at:]...)
		assert.ErrorType(t, spoiled.Set(withBad), &InvalidSettingError{})
		assert.DeepEqual(t, spoiled.PluginObj, example().PluginObj)
	}
}

// TestSetNextToAnEmptyList sets a variable with an empty list of settable fields:
// the whole call has no effect.
func TestSetNextToAnEmptyList(t *testing.T) {
	p := &Plugin{}
	p.PluginObj.Config.Env = []types.PluginEnv{
		{Name: "DIR", Value: pointer("/a"), Settable: []string{}},
		{Name: "TOKEN", Value: pointer(""), Settable: []string{"value"}},
	}
	p.InitEmptySettings()
	for _, args := range [][]string{{"DIR="}, {"TOKEN=t", "DIR=/b"}} {
		assert.Error(t, p.Set(args), `"DIR" is not settable (settable in this plugin: TOKEN)`)
		assert.DeepEqual(t, p.PluginObj.Settings.Env, []string{"DIR=/a", "TOKEN="})
	}
}

// TestSetOfManyArguments sets many settings many times. The cost grows with the
// number of arguments, not with arguments times settings.
func TestSetOfManyArguments(t *testing.T) {
	const settings, times = 4000, 10
	p := &Plugin{PluginObj: types.Plugin{Name: "many"}}
	var args []string
	for i := range settings {
		name := fmt.Sprint("NAME", i)
		p.PluginObj.Config.Env = append(p.PluginObj.Config.Env, types.PluginEnv{Name: name, Settable: []string{"value"}})
		for time := range times {
			args = append(args, fmt.Sprint(name, "=", time))
		}
	}
	p.InitEmptySettings()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	assert.NilError(t, p.Set(args))
	runtime.ReadMemStats(&after)
	assert.Check(t, is.Len(p.PluginObj.Settings.Env, settings))
	assert.Check(t, is.Equal(p.PluginObj.Settings.Env[settings-1], fmt.Sprint("NAME", settings-1, "=", times-1)), "the last value wins")
	const most = 64 << 20 // a list of the settings for each argument takes a hundred times as much
	assert.Check(t, after.TotalAlloc-before.TotalAlloc < most, "%d bytes were allocated", after.TotalAlloc-before.TotalAlloc)
}

// Docker's own tests compare the words of these refusals.
func TestSetReplacesOnlyWhatTheConfigHas(t *testing.T) {
	p := &Plugin{PluginObj: types.Plugin{Config: types.PluginConfig{
		Env:    []types.PluginEnv{{Name: "LEVEL", Settable: []string{"value"}}},
		Mounts: []types.PluginMount{{Name: "keys", Settable: []string{"source"}}, {Name: "state", Source: pointer(""), Settable: []string{"source"}}},
		Linux:  types.PluginConfigLinux{Devices: []types.PluginDevice{{Name: "fuse", Settable: []string{"path"}}}},
	}}}
	p.InitEmptySettings()
	assert.Error(t, p.Set([]string{"keys.source=/srv"}), `"keys.source" can't be set: Plugin config has no mount source (settable in this plugin: LEVEL, state.source)`)
	assert.Error(t, p.Set([]string{"fuse.path=/dev/fuse"}), `"fuse.path" can't be set: Plugin config has no device path (settable in this plugin: LEVEL, state.source)`)
	assert.NilError(t, p.Set([]string{"LEVEL=1", "state.source=/srv"}))
}
