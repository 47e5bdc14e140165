// Package crash holds the SIGKILL harness: a driver calls random verbs on a
// real manager and is killed at random instants; what the next process finds
// is compared with what the driver had been told, and every invariant of the
// root directory is checked. See docs/durability.md for what came of it.
package crash
