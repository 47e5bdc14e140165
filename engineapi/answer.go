package engineapi

import (
	"net/http"
	"time"
)

// pieceBytes is how much of an answer is written in one wait: what a client
// that takes leastRate reads within its patience.
const pieceBytes = 32 << 10

// lingerTimeout is how long the server may take what a client still sends of a
// body that no handler wanted. It sends the answer afterwards.
const lingerTimeout = 5 * time.Second

// answer is the ResponseWriter of a handler. It fails where the client reads
// slower than its pace, and it knows whether the answer has begun. Like others
// it is not safe for concurrent use.
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

// paced serves by handler what no slow client can keep from its end.
func paced(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := answerOf(w)
		a.deadline(time.Time{}) // the server's own would count the handler's time
		handler.ServeHTTP(a, r)
		a.finish()
	})
}

// finish bounds what the server does once the handler has returned: it takes
// some of an unread body and sends what it has buffered.
func (a *answer) finish() {
	_ = a.control.SetReadDeadline(time.Now().Add(lingerTimeout))
	_ = a.control.SetWriteDeadline(time.Now().Add(patience))
}

// deadline is when the client is given up. An unread body is waited for by the
// server, in a write, and a client that does not read is gone. Servers that
// have no deadlines have their own way with such clients.
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

// FlushError is how http.ResponseController flushes.
func (a *answer) FlushError() error {
	a.begun = true
	_, err := a.wait(func() (int, error) { return 0, a.control.Flush() })
	return err
}

// Flush is for handlers that ask for an http.Flusher by type.
func (a *answer) Flush() { _ = a.FlushError() }

// Unwrap is how http.ResponseController reaches the rest.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) wait(send func() (int, error)) (int, error) {
	began := time.Now()
	a.deadline(began.Add(a.pace.left()))
	n, err := send()
	a.deadline(time.Time{})
	a.pace.waitedFor(began, n)
	return n, err
}
