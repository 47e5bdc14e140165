package rootfs

import (
	"io"
	"sync"
)

// stickySink hides the errors of a writer from the compressor, whose goroutines
// would outlive one, and keeps the first for those who write to it.
type stickySink struct {
	sink io.Writer

	mu  sync.Mutex
	err error
}

func (s *stickySink) Write(p []byte) (int, error) {
	if s.failed() != nil {
		return len(p), nil
	}
	if _, err := s.sink.Write(p); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.err = err
	}
	return len(p), nil
}

// failed returns the writer's first error.
func (s *stickySink) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
