// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package probe

import "errors"

func unshareNothing() error { return errors.ErrUnsupported }
