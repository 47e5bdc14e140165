// Package archtest holds the tests of how the module is built: which room may
// import which, where a dependency may be used, and habits that a compiler
// does not see. The tables in its tests are the architecture; who needs
// another edge changes a table and says why.
//
// The tests read the sources of all platforms and run nothing.
package archtest
