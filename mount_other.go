//go:build !linux

package plugin

func shareMounts(string) error {
	return &UnsupportedError{Op: "mount propagation", Reason: "it needs Linux"}
}

func unmountAll(string) error { return nil }

func detachInside(string) error { return nil }

func detachDead(string) error { return nil }
