// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
)

func TestLongestList(t *testing.T) {
	for text, want := range map[string]int{
		``:                        0,
		`{}`:                      0,
		`[]`:                      1,
		`[1]`:                     1,
		`[1,2,3]`:                 3,
		`[[1,2],[1,2,3],{"a":1}]`: 3,
		`{"a":1,"b":2,"c":[1,2]}`: 2,
		`["a,b,c]","\"[,,,"]`:     2,
		`]]]`:                     0,
		`[1,2`:                    0,
	} {
		assert.Equal(t, longestList([]byte(text)), want, text)
	}
}

// A document that is small, but has many of what is wrong, is refused in few
// words.
func TestErrorsOfLargeConfigsAreShort(t *testing.T) {
	many := func(entry string, count int) string { return strings.TrimSuffix(strings.Repeat(entry+",", count), ",") }
	for name, text := range map[string]string{
		"mounts":        `{"mounts":[` + many(`{}`, 350000) + `]}`,
		"devices":       `{"linux":{"devices":[` + many(`{}`, 350000) + `]}}`,
		"capabilities":  `{"linux":{"capabilities":[` + many(`"X"`, 4096) + `]}}`,
		"options":       `{"mounts":[{"options":[` + many(`"`+strings.Repeat("x", 200)+`"`, 4096) + `]}]}`,
		"env":           `{"env":[` + many(`{"name":"="}`, 4096) + `]}`,
		"long":          `{"network":{"type":"` + strings.Repeat("\\u0001", 170000) + `"},"workdir":"` + strings.Repeat("x", 100000) + `"}`,
		"a wrong value": `{"mounts":` + strings.Repeat("9", 1<<20) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			config, err := ParseConfig([]byte(text))
			if err == nil {
				err = ValidateConfig(config)
			}
			if err == nil {
				err = startable(config).Validate()
			}
			var invalid *InvalidConfigError
			assert.Assert(t, errors.As(err, &invalid), "%T", err)
			assert.Check(t, len(err.Error()) < 8<<10, "%d bytes", len(err.Error()))
		})
	}
	var settable []types.PluginEnv
	for range maxListEntries {
		settable = append(settable, types.PluginEnv{Name: strings.Repeat("N", 50), Settable: []string{"value"}})
	}
	p := &Plugin{PluginObj: types.Plugin{Config: types.PluginConfig{Env: settable}}}
	err := p.Set([]string{"OTHER=1"})
	assert.Check(t, err != nil && len(err.Error()) < 8<<10)
}
