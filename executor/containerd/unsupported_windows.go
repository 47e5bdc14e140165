package containerd

import libcontainerdtypes "github.com/docker/docker/libcontainerd/types"

// ProcessEvent returns an error of class not implemented. On systems that
// docker's types are not made for it is absent.
func (*Executor) ProcessEvent(id string, et libcontainerdtypes.EventType, ei libcontainerdtypes.EventInfo) error {
	return errUnsupported
}
