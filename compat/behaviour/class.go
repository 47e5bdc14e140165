package behaviour

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/server/httpstatus"
)

// classes are the kinds of errors that the errdefs packages of docker and
// containerd tell apart.
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

// classOf names the class of an error and the HTTP status that the Engine API
// answers with because of it.
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
