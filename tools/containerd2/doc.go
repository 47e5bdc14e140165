// SPDX-License-Identifier: Apache-2.0

// Package containerd2 names the containerd 2 that executor/containerd is
// tested with; its commands are built from here:
//
//	go build -tags no_cri,no_btrfs,no_zfs,no_devmapper tool
package containerd2
