// SPDX-License-Identifier: Apache-2.0

// Package manager tests the Manager through its exported methods, with a fake
// executor, failing files, registries in memory and virtual time. The tests of
// package test/real use an OCI runtime.
//
// Some of its tests need root, because they unpack files of other users or mount.
// internal/testenv skips what a machine can't run, test by test.
package manager
