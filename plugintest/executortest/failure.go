// SPDX-License-Identifier: Apache-2.0

//go:build linux

package executortest

import (
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func testMissingEntrypoint(h *host) {
	testFailedCreate(h, "/no-such-program", func(spec *specs.Spec) {
		spec.Process.Args[0] = "/no-such-program"
	})
}

func testMissingRootfs(h *host) {
	testFailedCreate(h, "no-such-rootfs", func(spec *specs.Spec) {
		spec.Root.Path = filepath.Join(h.rootfs, "no-such-rootfs")
	})
}

// testFailedCreate calls Create twice with a broken spec. It expects an error that
// names the cause, nothing left, and success with a valid spec of the same ID.
func testFailedCreate(h *host, cause string, breakIt func(*specs.Spec)) {
	id := h.newID()
	for range 2 {
		stdout, stderr := h.newStream(), h.newStream()
		spec := h.spec("wait=")
		breakIt(&spec)
		err := h.executor.Create(id, spec, stdout, stderr)
		if err == nil {
			h.attached[id] = true
			h.t.Fatal("Create succeeded")
		}
		if !strings.Contains(err.Error(), cause) {
			h.t.Errorf("the error does not name %s: %v", cause, err)
		}
		h.assertRunning(id, false)
		stdout.assertClosedOnce(h.t)
		stderr.assertClosedOnce(h.t)
	}
	if count := h.exitCount(id); count != 0 {
		h.t.Errorf("%d exits of runs that never started were reported", count)
	}
	r := h.create(id, "out=good")
	if stdout, _ := r.ended(1); stdout != "good\n" {
		h.t.Errorf("stdout = %q, want %q", stdout, "good\n")
	}
}
