// SPDX-License-Identifier: Apache-2.0

// Package disk checks that docker's plugin manager and ours take over each
// other's directory. The second manager lists the first one's plugins
// unchanged, runs them from the same OCI spec, changes and removes them, and
// hands the directory back. The package consists of tests. Docker's own package
// writes the fixtures while they run.
package disk
