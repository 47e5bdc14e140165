// SPDX-License-Identifier: Apache-2.0

// Package archtest tests the structure of the module: which room may import
// which, where a dependency may be used, and conventions that the compiler does
// not check. The tables in its tests define the architecture. A change that needs
// another import edge changes a table and gives the reason.
//
// The tests read the sources of all platforms and run none of them.
package archtest
