// Package history remembers what a driver did to a manager and was told about
// it, and judges what is found after a crash.
//
// A driver writes an [Event] before each verb and one after it. Who reads them
// keeps a [Ledger]: a verb that was answered before the crash must show, one
// that had begun may show, and nothing else.
package history
