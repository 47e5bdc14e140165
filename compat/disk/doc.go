// Package disk checks that docker's plugin manager and ours take over each
// other's directory: what one wrote, the other lists as it was, runs from the
// same OCI spec, changes, removes, and hands back. All of it is in the tests;
// the fixtures are written by docker's own package while they run.
package disk
