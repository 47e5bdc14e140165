// SPDX-License-Identifier: Apache-2.0

// Package crash kills docker's plugin manager as test/crash kills Dovetail's:
// with the same driver, at random instants, and with the same checks. The
// results are in docs/durability.md.
package crash
