// Package powercut holds the power-cut harness: the driver of test/crash works
// on a file system whose disk is copied at random instants, as it is, without
// what the kernel still keeps in memory. The copy is what a machine finds when
// its power comes back: it is mounted, a manager is opened on it, and what is
// there is compared with what the driver had been told. Then the copy is the
// disk of the next driver. See docs/durability.md for what came of it.
//
// It needs Linux, root, and the commands mkfs.xfs, mkfs.ext4 and mount.
package powercut
