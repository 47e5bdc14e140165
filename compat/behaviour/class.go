// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/server/httpstatus"
)

// classes are the kinds of errors that docker's and containerd's errdefs
// distinguish.
var classes = []struct {
	name string
	is   func(error) bool
}{
	{"NotFound", errdefs.IsNotFound},
	{"InvalidParameter", errdefs.IsInvalidArgument},
	{"Conflict", errdefs.IsConflict},
	{"AlreadyExists", errdefs.IsAlreadyExists},
	{"Unauthorized", errdefs.IsUnauthorized},
	{"Forbidden", errdefs.IsPermissionDenied},
	{"Unavailable", errdefs.IsUnavailable},
	{"NotImplemented", errdefs.IsNotImplemented},
	{"NotModified", errdefs.IsNotModified},
	{"System", errdefs.IsInternal},
	{"Unknown", errdefs.IsUnknown},
	{"DataLoss", errdefs.IsDataLoss},
	{"Cancelled", errdefs.IsCanceled},
	{"DeadlineExceeded", errdefs.IsDeadlineExceeded},
}

// classOf returns the class of an error and its HTTP status in the Engine API.
func classOf(err error) string {
	if err == nil {
		return "ok"
	}
	name := "no class"
	for _, class := range classes {
		if class.is(err) {
			name = class.name
			break
		}
	}
	return fmt.Sprintf("%s, status %d", name, httpstatus.FromError(err))
}
