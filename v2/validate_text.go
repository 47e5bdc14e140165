// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// shown refuses text that is not plain in displayed fields: in the privileges,
// on which users decide, and in lists. A command line prints them unchanged, so
// a control character could overwrite a question, and white space could push a
// privilege out of sight. Marks that combine with one letter pile up over the lines
// above and below it.
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
	// A description can have lines and grants nothing.
	v.visible("description", strings.NewReplacer("\n", "", "\t", "", "\u00ad", "").Replace(c.Description))
}

func (v *validator) plain(field string, texts ...string) {
	for _, text := range texts {
		v.visible(field, text)
		if hasGap(text) {
			v.refuse(field, text, fmt.Sprintf("has more than %d blanks in a row: users are shown it", maxBlanks))
		}
		if hasPile(text) {
			v.refuse(field, text, fmt.Sprintf("has more than %d combining marks in a row: users are shown it", maxMarks))
		}
	}
}

func (v *validator) visible(field, text string) {
	if !plaintext.Is(text) {
		v.refuse(field, text, "has control or invisible characters: users are shown it")
	}
}

// maxBlanks is the longest run of white space that does not look like the end of
// a text.
const maxBlanks = 4

// maxMarks is the longest run of combining marks in words of any living script: a
// pointed letter of Hebrew has three.
const maxMarks = 3

func hasGap(text string) bool { return hasRun(text, maxBlanks, unicode.IsSpace) }

// hasPile counts joiners and variation selectors, which take no place and would
// otherwise split a run.
func hasPile(text string) bool {
	return hasRun(text, maxMarks, func(r rune) bool { return unicode.In(r, unicode.Mn, unicode.Me, unicode.Join_Control) })
}

// hasRun reports whether text has more than a number of such characters in a row.
func hasRun(text string, most int, is func(rune) bool) bool {
	run := 0
	for _, r := range text {
		if !is(r) {
			run = 0
		} else if run++; run > most {
			return true
		}
	}
	return false
}
