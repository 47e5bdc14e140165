//go:build !linux

package probe

import "errors"

func unshareNothing() error { return errors.ErrUnsupported }
