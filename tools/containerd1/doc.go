// SPDX-License-Identifier: Apache-2.0

// Package containerd1 names the containerd 1.7 that executor/containerd is
// tested with; its commands are built from here:
//
//	go build -tags no_cri,no_btrfs,no_zfs,no_devmapper tool
package containerd1
