package containerd

// The errors of this package carry their class as a marker method, which
// docker's and containerd's errdefs both see. Errors of containerd keep the
// class it gave them.

type notFoundError struct{ error }

func (notFoundError) NotFound() {}

func (e notFoundError) Unwrap() error { return e.error }

type conflictError struct{ error }

func (conflictError) Conflict() {}

func (e conflictError) Unwrap() error { return e.error }

type unavailableError struct{ error }

func (unavailableError) Unavailable() {}

func (e unavailableError) Unwrap() error { return e.error }

type systemError struct{ error }

func (systemError) System() {}

func (e systemError) Unwrap() error { return e.error }
