// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package harness

// Isolate does nothing: this system has no mount namespaces.
func Isolate() (code int, ok bool) { return 0, false }
