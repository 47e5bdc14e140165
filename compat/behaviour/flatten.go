// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"encoding/json"
	"fmt"
	"strings"
)

// flatten takes a value apart, as far as its JSON is objects, so that differing
// parts can be distinguished from equal ones. It returns the parts by path, such as
// "spec.process.cwd". Members of a list of objects are addressed by name where
// they have one, as in "spec.mounts[/dev].type", and their order is a separate
// part. Any other list is one part.
func flatten(path string, value any) map[string]string {
	if text, ok := value.(string); ok {
		return map[string]string{path: text}
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		panic("behaviour: encode what was seen: " + err.Error()) // v came from JSON, or goes there
	}
	var decoded any
	if err := json.Unmarshal(encoded, &decoded); err != nil {
		panic("behaviour: decode what was seen: " + err.Error())
	}
	parts := map[string]string{}
	flattenInto(parts, path, decoded)
	return parts
}

func flattenInto(parts map[string]string, path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			flattenInto(parts, path+"."+name, member)
		}
	case []any:
		names, ok := memberNames(value)
		if !ok {
			parts[path] = jsonOf(value)
			return
		}
		parts[path] = strings.Join(names, " ")
		for i, member := range value {
			flattenInto(parts, path+"["+names[i]+"]", member)
		}
	default:
		parts[path] = jsonOf(value)
	}
}

// memberNames returns the names of a list's members, unless a member is
// not an object.
func memberNames(list []any) (names []string, ok bool) {
	seen := map[string]int{}
	for _, member := range list {
		object, ok := member.(map[string]any)
		if !ok {
			return nil, false
		}
		name := nameOf(object)
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s #%d", name, seen[name])
		}
		names = append(names, name)
	}
	return names, len(names) > 0
}

// nameOf returns the field that identifies an object in the lists of specs,
// plugins and privileges.
func nameOf(object map[string]any) string {
	for _, member := range []string{"destination", "Destination", "path", "type", "Capability", "Name"} {
		if name, ok := object[member].(string); ok && name != "" {
			return name
		}
	}
	return ""
}

func jsonOf(value any) string {
	encoded, _ := json.Marshal(value) // the value was decoded from JSON
	return string(encoded)
}
