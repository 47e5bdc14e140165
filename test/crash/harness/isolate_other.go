//go:build !linux

package harness

// Isolate does nothing: there are no mount namespaces here.
func Isolate() (code int, ok bool) { return 0, false }
