// SPDX-License-Identifier: Apache-2.0

//go:build linux && moby

package dockerd

import (
	"strings"
	"testing"
)

// TestMobySuites runs docker's own tests of plugins on both daemons. Every test has
// the same result on both.
func TestMobySuites(t *testing.T) {
	passes(t, "moby", nil, map[string]string{
		"TestContinueAfterPluginCrash": "it runs a container with docker-init, which this build does not make",
	})
}

// TestMobyCommandLineSuites does the same with docker's tests of the command line.
func TestMobyCommandLineSuites(t *testing.T) {
	const hub = "it installs a plugin from Docker Hub"
	const words = "it expects the words of an older command line"
	passes(t, "moby-cli", nil, map[string]string{
		"TestDockerPluginSuite/TestPluginInstallImage":                           "docker skips it: https://github.com/moby/moby/issues/43996",
		"TestDockerCLIPluginLogDriverSuite/TestPluginLogDriver":                  hub,
		"TestDockerCLIPluginLogDriverSuite/TestPluginLogDriverInfoList":          hub,
		"TestDockerDaemonSuite/TestFailedPluginRemove":                           hub,
		"TestDockerSwarmSuite/TestSwarmNetworkPluginV2":                          hub,
		"TestDockerExternalVolumeSuite/TestExternalVolumeDriverGet":              words,
		"TestDockerExternalVolumeSuite/TestExternalVolumeDriverGetEmptyResponse": words,
	})
}

// passes plays a story of suites. It fails for tests that fail with either daemon,
// except those in expected, which have to fail.
func passes(t *testing.T, story string, accepted []difference, expected map[string]string) {
	stock, ours := sideBySide(t, story, accepted)
	seen := map[string]bool{}
	for _, r := range append(stock, ours...) {
		for _, name := range failures(r.Output) {
			seen[name] = true
			if expected[name] == "" {
				t.Errorf("%s: %s fails", r.Step, name)
			}
		}
		t.Logf("%s\n%s", r.Step, r.Output)
	}
	for name := range expected {
		if !seen[name] {
			t.Errorf("%s does not fail any more", name)
		}
	}
}

// failures returns the tests of a suite's output that failed, without those that
// failed by a test of theirs.
func failures(output string) []string {
	var names []string
	for line := range strings.Lines(output) {
		name, failed := strings.CutPrefix(strings.TrimSpace(line), "FAIL ")
		if failed && !strings.Contains(output, "FAIL "+name+"/") {
			names = append(names, name)
		}
	}
	return names
}
