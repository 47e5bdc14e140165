package behaviour

import (
	"encoding/json"
	"fmt"
	"strings"
)

// flatten takes a value apart, as far as its JSON is objects, so that what
// differs can be told from what does not: the parts by path, as
// "spec.process.cwd". Members of a list of objects are called by name where
// they have one, as "spec.mounts[/dev].type", and their order is a part of its
// own; any other list is one part.
func flatten(path string, value any) map[string]string {
	if text, ok := value.(string); ok {
		return map[string]string{path: text}
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		panic("behaviour: encode what was seen: " + err.Error()) // it came from JSON, or goes there
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

// memberNames names the members of a list, unless one of them is no object.
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

// nameOf is what tells an object from its neighbours in the lists of specs,
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
	encoded, _ := json.Marshal(value) // it was decoded from JSON
	return string(encoded)
}
