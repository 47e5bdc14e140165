// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"math"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestHardeningIsValidated(t *testing.T) {
	score := 1001
	wrong := Hardening{
		Seccomp: "most", MemoryBytes: 1, CPUs: math.NaN(), Pids: -1, OOMScoreAdj: &score, CgroupParent: "a/../..",
	}
	_, err := NewManager(ManagerConfig{Hardening: wrong})
	for _, field := range []string{"Root is", "Seccomp", "MemoryBytes", "CPUs", "Pids", "OOMScoreAdj", "CgroupParent"} {
		assert.Check(t, is.ErrorContains(err, field))
		if !strings.HasPrefix(field, "Root") {
			assert.Check(t, is.ErrorContains(wrong.Validate(), field))
		}
	}
	assert.Check(t, errdefs.IsInvalidArgument(err))
	assert.Check(t, errdefs.IsInvalidArgument(wrong.Validate()))
	assert.NilError(t, Hardening{}.Validate())
	assert.NilError(t, Hardening{Seccomp: SeccompAll, MemoryBytes: 6 << 20, CPUs: 0.01, Pids: 1, CgroupParent: "a..b/c"}.Validate())
	assert.Check(t, is.ErrorContains(Hardening{CPUs: math.Inf(1)}.Validate(), "CPUs"))
	assert.Check(t, is.ErrorContains(Hardening{CPUs: -1}.Validate(), "CPUs"))
}
