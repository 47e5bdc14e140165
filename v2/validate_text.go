package v2

import (
	"fmt"
	"strings"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// shown refuses what is no plain text in what a user is shown: in the
// privileges, on which a grant is decided, and in lists. A command line prints
// these as they are, so that a control character could paint over a question.
func (v *validator) shown(c types.PluginConfig) {
	v.plain("network.type", c.Network.Type)
	for i, mount := range c.Mounts {
		field := fmt.Sprintf("mounts[%d]", i)
		v.plain(field+".name", mount.Name)
		v.plain(field+".type", mount.Type)
		v.plain(field+".destination", mount.Destination)
		v.plain(field+".options", mount.Options...)
		if mount.Source != nil {
			v.plain(field+".source", *mount.Source)
		}
	}
	for i, device := range c.Linux.Devices {
		field := fmt.Sprintf("linux.devices[%d]", i)
		v.plain(field+".name", device.Name)
		if device.Path != nil {
			v.plain(field+".path", *device.Path)
		}
	}
	for i, name := range c.Linux.Capabilities {
		v.plain(fmt.Sprintf("linux.capabilities[%d]", i), name)
	}
	v.plain("description", strings.NewReplacer("\n", "", "\t", "").Replace(c.Description)) // which may have lines
}

func (v *validator) plain(field string, texts ...string) {
	for _, text := range texts {
		if !plaintext.Is(text) {
			v.refuse(field, text, "has control characters: users are shown it")
		}
	}
}
