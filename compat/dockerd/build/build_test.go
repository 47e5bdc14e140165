// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"runtime/debug"
	"strings"
	"testing"
)

func TestRewriteChangesImportsOnly(t *testing.T) {
	const was = `import (
	"github.com/docker/docker/plugin"
	v2 "github.com/docker/docker/plugin/v2"
	"github.com/docker/docker/pkg/plugins"
	"github.com/docker/docker/plugins"
	"github.com/docker/docker/daemon/cluster/controllers/plugin"
)
// github.com/docker/docker/plugin is a package.`
	const want = `import (
	"github.com/dovetailhq/plugin"
	v2 "github.com/dovetailhq/plugin/v2"
	"github.com/docker/docker/pkg/plugins"
	"github.com/docker/docker/plugins"
	"github.com/docker/docker/daemon/cluster/controllers/plugin"
)
// github.com/docker/docker/plugin is a package.`
	if got := string(rewrite([]byte(was))); got != want {
		t.Errorf("rewritten to\n%s", got)
	}
}

func TestRaisesAreListed(t *testing.T) {
	stock := map[string]string{"a": "v1", "b": "v1", "gone": "v1"}
	ours := map[string]string{"a": "v1", "b": "v2", "new": "v3", dovetail: "v0"}
	found := differing(stock, ours)
	if len(found) != 2 {
		t.Fatalf("found %v", found)
	}
	const list = "# a comment\n* b v2 a reason\n28.5.2 new v3 another\n28.3.0 other v1 a third\n"
	if err := unlisted(found, allowed(list, "28.5.2")); err != nil {
		t.Errorf("all are listed: %v", err)
	}
	for version, want := range map[string]string{
		"28.3.0": "new v3, which docker does not link is not in raises.txt\nother is in raises.txt and not raised",
		"28.4.0": "new v3, which docker does not link is not in raises.txt",
	} {
		if err := unlisted(found, allowed(list, version)); err == nil || err.Error() != want {
			t.Errorf("with %s: %v", version, err)
		}
	}
	if err := unlisted([]raise{{"b", "v1", "v9"}}, allowed(list, "28.4.0")); err == nil || !strings.Contains(err.Error(), "b from v1 to v9") {
		t.Errorf("another version than the listed one: %v", err)
	}
}

func TestProgramsAreStaticWithCgo(t *testing.T) {
	cgo := []debug.BuildSetting{{Key: "-trimpath", Value: "true"}, {Key: "CGO_ENABLED", Value: "1"}}
	loaded := &elf.Prog{ProgHeader: elf.ProgHeader{Type: elf.PT_LOAD}}
	linker := &elf.Prog{ProgHeader: elf.ProgHeader{Type: elf.PT_INTERP}}
	if err := linkage(cgo, []*elf.Prog{loaded}); err != nil {
		t.Errorf("static and with cgo: %v", err)
	}
	if err := linkage(cgo, []*elf.Prog{loaded, linker}); err == nil {
		t.Error("a dynamic program passes")
	}
	if err := linkage([]debug.BuildSetting{{Key: "CGO_ENABLED", Value: "0"}}, []*elf.Prog{loaded}); err == nil {
		t.Error("a program without cgo passes")
	}
}
