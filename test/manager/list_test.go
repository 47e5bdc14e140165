// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"gotest.tools/v3/assert"
)

func TestListFilters(t *testing.T) {
	w := newWorld(t).start()
	w.Create("both", "docker.volumedriver/1.0", "docker.networkdriver/1.0")
	w.Create("network", "docker.networkdriver/1.0")
	w.Create("log", "docker.logdriver/1.0")
	w.MustEnable("network")
	list := func(pairs ...string) string {
		args := filters.NewArgs()
		for i := 0; i < len(pairs); i += 2 {
			args.Add(pairs[i], pairs[i+1])
		}
		found, err := w.List(args)
		assert.NilError(t, err)
		var names []string
		for _, p := range found {
			names = append(names, strings.TrimSuffix(p.Name, ":latest"))
		}
		return strings.Join(names, " ")
	}
	assert.Equal(t, list(), "both log network")
	assert.Equal(t, list("enabled", "true"), "network")
	assert.Equal(t, list("enabled", "false"), "both log")
	assert.Equal(t, list("capability", "volumedriver"), "both")
	assert.Equal(t, list("capability", "networkdriver"), "both network")
	assert.Equal(t, list("capability", "volumedriver", "capability", "logdriver"), "both log")
	assert.Equal(t, list("capability", "networkdriver", "enabled", "false"), "both")
	for _, bad := range []filters.KeyValuePair{filters.Arg("label", "x"), filters.Arg("enabled", "perhaps")} {
		_, err := w.List(filters.NewArgs(bad))
		assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
	}
}
