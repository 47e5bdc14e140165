// SPDX-License-Identifier: Apache-2.0

// Package registry tests pulls and pushes against real registries:
// distribution's, in this process, open, with accounts and as a mirror; and
// Debian's package of it.
package registry
