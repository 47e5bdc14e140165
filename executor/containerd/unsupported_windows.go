// SPDX-License-Identifier: Apache-2.0

package containerd

import libcontainerdtypes "github.com/docker/docker/libcontainerd/types"

// ProcessEvent returns an error of class NotImplemented. It is absent on systems
// that docker's types do not support.
func (*Executor) ProcessEvent(id string, et libcontainerdtypes.EventType, ei libcontainerdtypes.EventInfo) error {
	return errUnsupported
}
