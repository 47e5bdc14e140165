package v2

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// shown refuses what is no plain text in what a user is shown: in the
// privileges, on which a grant is decided, and in lists. A command line prints
// these as they are, so that a control character could paint over a question,
// and white space push a grant out of sight.
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
	// A description may have lines, and is no grant.
	v.visible("description", strings.NewReplacer("\n", "", "\t", "", "\u00ad", "").Replace(c.Description))
}

func (v *validator) plain(field string, texts ...string) {
	for _, text := range texts {
		v.visible(field, text)
		if hasGap(text) {
			v.refuse(field, text, fmt.Sprintf("has more than %d blanks in a row: users are shown it", maxBlanks))
		}
	}
}

func (v *validator) visible(field, text string) {
	if !plaintext.Is(text) {
		v.refuse(field, text, "has control or invisible characters: users are shown it")
	}
}

// maxBlanks is how much white space in a row does not look like an end.
const maxBlanks = 4

func hasGap(text string) bool {
	blanks := 0
	for _, r := range text {
		if !unicode.IsSpace(r) {
			blanks = 0
		} else if blanks++; blanks > maxBlanks {
			return true
		}
	}
	return false
}
