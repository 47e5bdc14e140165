// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"net/http"
	"time"
)

// pieceBytes is how much of an answer one timed write sends: as much as a
// client at minRate reads within its patience.
const pieceBytes = 32 << 10

// lingerTimeout bounds how long the server reads the rest of a body that its
// handler did not read. The answer is sent afterwards.
const lingerTimeout = 5 * time.Second

// answer is the ResponseWriter of a handler. A write fails if the client reads
// slower than its pace. begun reports whether the answer has begun. An answer
// is not safe for concurrent use, like other ResponseWriters.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	pace    pace
	begun   bool
}

// answerOf returns w itself if it is an answer.
func answerOf(w http.ResponseWriter) *answer {
	if a, ok := w.(*answer); ok {
		return a
	}
	return &answer{ResponseWriter: w, control: http.NewResponseController(w)}
}

// paced runs handler with an answer as its ResponseWriter, so that a slow
// client cannot block it for ever.
func paced(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := answerOf(w)
		a.deadline(time.Time{}) // the server's own deadline would count the handler's time
		handler.ServeHTTP(a, r)
		a.finish()
	})
}

// finish bounds what the server does after the handler has returned: it reads
// some of an unread body and sends what it has buffered.
func (a *answer) finish() {
	_ = a.control.SetReadDeadline(time.Now().Add(lingerTimeout))
	_ = a.control.SetWriteDeadline(time.Now().Add(patience))
}

// deadline sets when the client is given up. Both directions have it, because
// the server waits for an unread body in a write. Errors are ignored: a server
// without deadlines handles slow clients in its own way.
func (a *answer) deadline(at time.Time) {
	_ = a.control.SetReadDeadline(at)
	_ = a.control.SetWriteDeadline(at)
}

func (a *answer) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	a.begun = true
	for written := 0; ; {
		piece := b[written:min(len(b), written+pieceBytes)]
		n, err := a.wait(func() (int, error) { return a.ResponseWriter.Write(piece) })
		written += n
		if err != nil || written == len(b) {
			return written, err
		}
	}
}

// FlushError implements the flush of http.ResponseController.
func (a *answer) FlushError() error {
	a.begun = true
	_, err := a.wait(func() (int, error) { return 0, a.control.Flush() })
	return err
}

// Flush serves handlers that use the answer as an http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

// Unwrap gives http.ResponseController the server's own ResponseWriter.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) wait(send func() (int, error)) (int, error) {
	began := time.Now()
	a.deadline(began.Add(a.pace.remaining()))
	n, err := send()
	a.deadline(time.Time{})
	a.pace.count(began, n)
	return n, err
}
