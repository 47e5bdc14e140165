// Package crash kills docker's plugin manager as test/crash kills Dovetail's: by
// the same driver, at random instants, with the same checks. See
// docs/durability.md for what came of both.
package crash
