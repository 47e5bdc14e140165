//go:build !linux

package plugin

func shareMounts(string) error {
	return &UnsupportedError{Op: "mount propagation", Reason: "it needs Linux"}
}

func unmountAll(string, ...string) error { return nil }

func detachInside(string, ...string) error { return nil }

func detachDead(string) error { return nil }
