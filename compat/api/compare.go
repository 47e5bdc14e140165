// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// Compare compares the exports of the old family with those of the new. It
// ignores packages that only the new family has.
//
// Two types are the same when they are written the same way once each family's
// import paths are replaced by the names of its packages. Names of parameters
// don't count. An unexported type in an exported signature stands for its
// underlying type. Interfaces and struct tags have to be equal. Structs can
// have more fields and types more methods, as long as the old ones exist,
// fields are in the same order, and values that could be compared with == still
// can. An alias never stands for a defined type.
func Compare(old, new Family) Report {
	c := &comparer{old: renderer{family: old}, new: renderer{family: new}}
	for _, name := range slices.Sorted(maps.Keys(old.Packages)) {
		c.packages(name, old.Packages[name], new.Packages[name])
	}
	slices.SortStableFunc(c.report.Findings, func(a, b Finding) int { return cmp.Compare(a.Name, b.Name) })
	return c.report
}

type comparer struct {
	old, new renderer
	report   Report
}

func (c *comparer) packages(name string, old, new *types.Package) {
	if new == nil {
		c.say(Missing, name, "package "+old.Name(), "")
		return
	}
	c.texts(name, "package "+old.Name(), "package "+new.Name())
	for _, identifier := range old.Scope().Names() {
		c.objects(name+"."+identifier, exported(old, identifier), exported(new, identifier))
	}
	for _, identifier := range new.Scope().Names() {
		if added := exported(new, identifier); added != nil && exported(old, identifier) == nil {
			c.say(Added, name+"."+identifier, "", c.new.object(added))
		}
	}
}

func exported(p *types.Package, identifier string) types.Object {
	if object := p.Scope().Lookup(identifier); object != nil && object.Exported() {
		return object
	}
	return nil
}

func (c *comparer) objects(name string, old, new types.Object) {
	if old == nil {
		return
	}
	if new == nil {
		c.say(Missing, name, c.old.object(old), "")
		return
	}
	oldType, oldDefines := defined(old)
	newType, newDefines := defined(new)
	if !oldDefines || !newDefines {
		c.texts(name, c.old.object(old), c.new.object(new))
		return
	}
	c.shapes(name, oldType, newType)
	c.methods(name, oldType, newType)
}

// defined returns the type that a type declaration defines. An alias, or
// anything else, defines none.
func defined(object types.Object) (*types.Named, bool) {
	name, ok := object.(*types.TypeName)
	if !ok || name.IsAlias() {
		return nil, false
	}
	named, ok := name.Type().(*types.Named)
	return named, ok
}

// shapes compares the underlying types of two defined types.
func (c *comparer) shapes(name string, old, new *types.Named) {
	oldStruct, oldIs := old.Underlying().(*types.Struct)
	newStruct, newIs := new.Underlying().(*types.Struct)
	if !oldIs || !newIs {
		c.texts(name, c.old.definition(old), c.new.definition(new))
		return
	}
	c.texts(name, c.old.parameters(old)+"struct", c.new.parameters(new)+"struct")
	if types.Comparable(old) && !types.Comparable(new) {
		c.say(Different, name, "comparable", "incomparable")
	}
	c.fields(name, oldStruct, newStruct)
}

func (c *comparer) fields(name string, old, new *types.Struct) {
	oldFields, newFields := fieldsOf(old, c.old), fieldsOf(new, c.new)
	c.members(name, oldFields, newFields)
	oldOrder := slices.DeleteFunc(namesOf(oldFields), func(name string) bool { return !has(newFields, name) })
	newOrder := slices.DeleteFunc(namesOf(newFields), func(name string) bool { return !has(oldFields, name) })
	if !slices.Equal(oldOrder, newOrder) {
		c.say(Different, name, "fields in the order "+strings.Join(oldOrder, ", "), strings.Join(newOrder, ", "))
	}
}

// methods compares the method sets of two types and of pointers to them. A
// value's method set can grow: a method can change its receiver from pointer to
// value.
func (c *comparer) methods(name string, old, new *types.Named) {
	oldMethods, newMethods := methodsOf(old, c.old), methodsOf(new, c.new)
	for i, method := range newMethods {
		before := find(oldMethods, method.name)
		if before != nil && before.text == onPointer+strings.TrimPrefix(method.text, onValue) {
			newMethods[i].text = before.text
		}
	}
	c.members(name, oldMethods, newMethods)
}

// member is a field or a method, with the text of its declaration.
type member struct{ name, text string }

func (c *comparer) members(name string, old, new []member) {
	for _, m := range old {
		if match := find(new, m.name); match != nil {
			c.texts(name+"."+m.name, m.text, match.text)
		} else {
			c.say(Missing, name+"."+m.name, m.text, "")
		}
	}
	for _, m := range new {
		if !has(old, m.name) {
			c.say(Added, name+"."+m.name, "", m.text)
		}
	}
}

func fieldsOf(s *types.Struct, r renderer) []member {
	var fields []member
	for i := range s.NumFields() {
		if field := s.Field(i); field.Exported() {
			fields = append(fields, member{field.Name(), r.field(field, s.Tag(i))})
		}
	}
	return fields
}

const (
	onValue   = "method of the value: "
	onPointer = "method of the pointer: "
)

func methodsOf(t *types.Named, r renderer) []member {
	if types.IsInterface(t) {
		return nil
	}
	ofValue, ofPointer := types.NewMethodSet(t), types.NewMethodSet(types.NewPointer(t))
	var methods []member
	for i := range ofPointer.Len() {
		method := ofPointer.At(i).Obj()
		if !method.Exported() {
			continue
		}
		receiver := onPointer
		if ofValue.Lookup(method.Pkg(), method.Name()) != nil {
			receiver = onValue
		}
		methods = append(methods, member{method.Name(), receiver + r.typ(method.Type())})
	}
	return methods
}

func namesOf(members []member) []string {
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.name
	}
	return names
}

func find(members []member, name string) *member {
	if i := slices.IndexFunc(members, func(m member) bool { return m.name == name }); i >= 0 {
		return &members[i]
	}
	return nil
}

func has(members []member, name string) bool { return find(members, name) != nil }

// texts adds a finding if two descriptions differ.
func (c *comparer) texts(name, old, new string) {
	if old == new {
		c.report.Same++
		return
	}
	c.say(Different, name, old, new)
}

func (c *comparer) say(kind Kind, name, old, new string) {
	c.report.Findings = append(c.report.Findings, Finding{Kind: kind, Name: name, Old: old, New: new})
}
