// SPDX-License-Identifier: Apache-2.0

// Package real tests the Manager with plugins that run: with executor/runc, an OCI
// runtime, the kernel's mounts and cgroups. All its tests need root. The tests
// of package test/manager use a fake executor.
package real
