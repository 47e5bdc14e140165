// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package layout

import (
	"context"
	"errors"
)

func changed(string) (int64, error) { return 0, errors.ErrUnsupported }

func differences(context.Context, string, string) (int, error) { return 0, errors.ErrUnsupported }

func adds(context.Context, string, string) (bool, error) { return false, errors.ErrUnsupported }

func identical(context.Context, string, string) (bool, error) { return false, errors.ErrUnsupported }
