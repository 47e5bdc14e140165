// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package mounts

import "errors"

// Share fails: plugins start on Linux only.
func Share(string) error { return errors.New("share mounts: it needs Linux") }

// UnmountBelow finds no mounts.
func UnmountBelow(string, ...string) error { return nil }

// DetachInside finds no mounts.
func DetachInside(string, ...string) error { return nil }

// DetachDead finds no mounts.
func DetachDead(string) error { return nil }
