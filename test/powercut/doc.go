// SPDX-License-Identifier: Apache-2.0

// Package powercut is the power-cut harness. The driver of test/crash works on
// a file system, and at random instants the harness copies the disk below it,
// without the data that the kernel still keeps in memory. The copy is what a
// machine finds when its power returns. The harness mounts it, opens a manager
// on it, and compares the state with the results that the driver got. The copy
// is the disk of the next driver. The results are in docs/durability.md.
//
// It needs Linux, root, and the commands mkfs.xfs, mkfs.ext4 and mount.
package powercut
