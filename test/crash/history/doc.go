// SPDX-License-Identifier: Apache-2.0

// Package history records the verbs of a driver and their results, and judges
// the state that is found after a crash.
//
// A driver writes an [Event] before each verb and one after it. The reader
// keeps a [Ledger]. A verb that returned before the crash must show in the
// state, a verb in progress can show, and nothing else must.
package history
