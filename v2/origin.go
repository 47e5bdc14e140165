// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// origin holds a record as read and as docker's types understood it. The
// difference belongs to another version of docker or another program, and is
// put back when the record is written. An origin is immutable, so clones share
// it; nil means no difference.
type origin struct {
	read       json.RawMessage
	understood json.RawMessage
}

// newOrigin returns nil unless read holds more than understood. It keeps
// neither slice's memory.
func newOrigin(read, understood []byte) *origin {
	if _, more := graft(read, understood, understood); !more {
		return nil
	}
	return &origin{read: bytes.Clone(read), understood: bytes.Clone(understood)}
}

// restore returns current, a record that this package wrote, with the members
// that were read and not understood.
func (o *origin) restore(current []byte) []byte {
	if o == nil {
		return current
	}
	restored, _ := graft(o.read, o.understood, current)
	return restored
}

// withPluginOf returns o with the difference below the member "plugin" replaced
// by other's: an upgrade copies that part of a record.
func (o *origin) withPluginOf(other *origin) *origin {
	read, understood := o.members()
	otherRead, otherUnderstood := other.members()
	transplant(read, otherRead)
	transplant(understood, otherUnderstood)
	return newOrigin(encode(read), encode(understood))
}

func (o *origin) members() (read, understood map[string]json.RawMessage) {
	if o == nil {
		return map[string]json.RawMessage{}, map[string]json.RawMessage{}
	}
	read, _ = decode[map[string]json.RawMessage](o.read)
	understood, _ = decode[map[string]json.RawMessage](o.understood)
	return read, understood
}

func transplant(into, from map[string]json.RawMessage) {
	isPlugin := func(name string, _ json.RawMessage) bool { return strings.EqualFold(name, "plugin") }
	maps.DeleteFunc(into, isPlugin)
	for name, value := range from {
		if isPlugin(name, value) {
			into[name] = value
		}
	}
}

// graft returns current with the members that read has and understood lacks,
// at any depth, and whether there were any; without any it returns current
// itself. An element of an array keeps its unknown members as long as the
// array has its length and the element its known value.
func graft(read, understood, current json.RawMessage) (json.RawMessage, bool) {
	switch current[0] {
	case '{':
		return graftObject(read, understood, current)
	case '[':
		return graftArray(read, understood, current)
	}
	return current, false
}

func graftObject(read, understood, current json.RawMessage) (json.RawMessage, bool) {
	was, isObject := decode[map[string]json.RawMessage](read)
	known, wasObject := decode[map[string]json.RawMessage](understood)
	now, _ := decode[map[string]json.RawMessage](current)
	if !isObject || !wasObject {
		return current, false
	}
	result, more := maps.Clone(now), false
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if knownName, ok := findFolded(known, name); ok {
			value, exists := result[knownName]
			if !exists {
				continue
			}
			grafted, ok := graft(was[name], known[knownName], value)
			result[knownName], more = grafted, more || ok
			continue
		}
		if _, ok := findFolded(now, name); !ok {
			result[name], more = was[name], true
		}
	}
	if !more {
		return current, false
	}
	return encode(result), true
}

func graftArray(read, understood, current json.RawMessage) (json.RawMessage, bool) {
	was, isArray := decode[[]json.RawMessage](read)
	known, wasArray := decode[[]json.RawMessage](understood)
	now, _ := decode[[]json.RawMessage](current)
	if !isArray || !wasArray || len(was) != len(now) || len(known) != len(now) {
		return current, false
	}
	more := false
	for i := range now {
		if !bytes.Equal(known[i], now[i]) {
			continue
		}
		grafted, ok := graft(was[i], known[i], now[i])
		now[i], more = grafted, more || ok
	}
	if !more {
		return current, false
	}
	return encode(now), true
}

// findFolded finds the member that encoding/json would decode name into: it
// prefers the exact name and else ignores case.
func findFolded(members map[string]json.RawMessage, name string) (string, bool) {
	if _, ok := members[name]; ok {
		return name, true
	}
	for member := range members {
		if strings.EqualFold(member, name) {
			return member, true
		}
	}
	return "", false
}

func decode[T any](data json.RawMessage) (T, bool) {
	var value T
	err := json.Unmarshal(data, &value)
	return value, err == nil && string(data) != "null"
}

// encode can't fail: value holds nothing but parts of valid JSON.
func encode(value any) json.RawMessage {
	data, err := json.Marshal(value)
	if err != nil {
		panic("v2: encode parts of valid JSON: " + err.Error())
	}
	return data
}
