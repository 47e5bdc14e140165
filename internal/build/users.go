// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types"
)

// The lists of users and groups:
// https://man7.org/linux/man-pages/man5/passwd.5.html and
// https://man7.org/linux/man-pages/man5/group.5.html
const (
	passwdName = "etc/passwd"
	groupName  = "etc/group"
)

// user returns the numbers of an image's user: a name or a number, perhaps with a group
// after a colon. Names are looked up in the tree. Without a group it is that of the
// user's entry, or 0. The error is a [ConfigError].
func (t *tree) user(text string) (types.PluginConfigUser, error) {
	name, group, hasGroup := strings.Cut(text, ":")
	entry := t.entryOf(passwdName, name, true)
	uid, ok := number(name)
	if !ok && entry != nil {
		uid, ok = number(entry[2])
	}
	if !ok {
		return types.PluginConfigUser{}, &ConfigError{Reason: fmt.Sprintf("the image's user %q is not in its /%s: set user in config.json", name, passwdName)}
	}
	user := types.PluginConfigUser{UID: uid}
	if !hasGroup && entry != nil {
		user.GID, _ = number(entry[3])
	}
	if !hasGroup || group == "" {
		return user, nil
	}
	if user.GID, ok = number(group); ok {
		return user, nil
	}
	if entry = t.entryOf(groupName, group, false); entry != nil {
		if user.GID, ok = number(entry[2]); ok {
			return user, nil
		}
	}
	return types.PluginConfigUser{}, &ConfigError{Reason: fmt.Sprintf("the image's group %q is not in its /%s: set user in config.json", group, groupName)}
}

// entryOf returns the fields of the first entry with the name or, if byNumber is set,
// with that number, or nil. It has four fields at least for users, three for groups.
func (t *tree) entryOf(list, name string, byNumber bool) []string {
	file := t.find(list)
	if file == nil {
		return nil
	}
	least := 3
	if byNumber {
		least = 4
	}
	for line := range strings.SplitSeq(string(file.content), "\n") {
		fields := strings.SplitN(line, ":", 5)
		if len(fields) >= least && (fields[0] == name || byNumber && fields[2] == name) {
			return fields
		}
	}
	return nil
}

func number(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 31)
	return uint32(n), err == nil
}
