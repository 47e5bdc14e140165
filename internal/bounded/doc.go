// SPDX-License-Identifier: Apache-2.0

// Package bounded bounds calls into foreign code ([Call], [Within], [Step],
// [Protect]), shutdowns ([Finish]), goroutines ([Tasks]), reads of a client
// ([Reader]), lines of a stream ([Cutter]), the number of costly verbs ([Places])
// and the users of a key ([Claims]).
//
// A call that may never return has a separate goroutine. The caller waits until
// its context ends, and a moment longer after a deadline. The call itself
// continues until it returns; a [Line] prevents further calls from piling up
// behind it.
package bounded
