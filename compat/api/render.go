// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// renderer writes types as text. Equal texts mean equal types, whatever family
// they are in.
type renderer struct {
	family Family
	// inside is the stack of unexported types in progress, outermost first. It
	// ends the recursion of a type that contains itself.
	inside []*types.TypeName
}

// object describes an identifier of a package.
func (r renderer) object(object types.Object) string {
	switch object := object.(type) {
	case *types.Const:
		return fmt.Sprintf("const %s = %s", r.typ(object.Type()), object.Val().ExactString())
	case *types.Var:
		return "var " + r.typ(object.Type())
	case *types.TypeName:
		if named, ok := defined(object); ok {
			return r.definition(named)
		}
		return "alias of " + r.typ(object.Type())
	default:
		return r.typ(object.Type())
	}
}

// definition describes the underlying type of a defined type.
func (r renderer) definition(named *types.Named) string {
	return "type " + r.parameters(named) + r.typ(named.Underlying())
}

func (r renderer) parameters(named *types.Named) string {
	var list []string
	for parameter := range named.TypeParams().TypeParams() {
		list = append(list, parameter.Obj().Name()+" "+r.typ(parameter.Constraint()))
	}
	if len(list) == 0 {
		return ""
	}
	return "[" + strings.Join(list, ", ") + "] "
}

func (r renderer) field(field *types.Var, tag string) string {
	text := r.typ(field.Type())
	if field.Embedded() {
		text = "embedded " + text
	}
	if tag != "" {
		text += " `" + tag + "`"
	}
	return text
}

func (r renderer) typ(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		return types.Typ[t.Kind()].Name() // uint8 for byte
	case *types.Named:
		return r.named(t)
	case *types.Pointer:
		return "*" + r.typ(t.Elem())
	case *types.Slice:
		return "[]" + r.typ(t.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), r.typ(t.Elem()))
	case *types.Map:
		return "map[" + r.typ(t.Key()) + "]" + r.typ(t.Elem())
	case *types.Chan:
		return r.channel(t)
	case *types.Signature:
		return "func" + r.signature(t)
	case *types.Struct:
		return r.structure(t)
	case *types.Interface:
		return r.interfaceType(t)
	default: // type parameters and unions of them, by their names
		return types.TypeString(t, func(p *types.Package) string { return r.packageName(p) })
	}
}

func (r renderer) named(t *types.Named) string {
	name := t.Obj()
	_, ofFamily := r.familyName(name.Pkg())
	if ofFamily && !name.Exported() {
		return r.unexported(t)
	}
	text := name.Name()
	if name.Pkg() != nil {
		text = r.packageName(name.Pkg()) + "." + text
	}
	var arguments []string
	for argument := range t.TypeArgs().Types() {
		arguments = append(arguments, r.typ(argument))
	}
	if len(arguments) > 0 {
		text += "[" + strings.Join(arguments, ", ") + "]"
	}
	return text
}

// unexported describes a type that no program can name, by what programs can do
// with its values.
func (r renderer) unexported(t *types.Named) string {
	if level := slices.Index(r.inside, t.Obj()); level >= 0 {
		return fmt.Sprintf("unexported#%d", level)
	}
	r.inside = append(slices.Clone(r.inside), t.Obj())
	text := r.typ(t.Underlying())
	for _, method := range methodsOf(t, r) {
		text += fmt.Sprintf(" with %s %s", method.name, method.text)
	}
	return text
}

func (r renderer) packageName(p *types.Package) string {
	if name, ok := r.familyName(p); ok {
		return name
	}
	return p.Path()
}

func (r renderer) familyName(p *types.Package) (string, bool) {
	if p == nil { // the universe scope
		return "", false
	}
	return r.family.name(p.Path())
}

func (r renderer) channel(t *types.Chan) string {
	switch t.Dir() {
	case types.SendOnly:
		return "chan<- (" + r.typ(t.Elem()) + ")"
	case types.RecvOnly:
		return "<-chan (" + r.typ(t.Elem()) + ")"
	default:
		return "chan (" + r.typ(t.Elem()) + ")"
	}
}

func (r renderer) signature(t *types.Signature) string {
	text := "(" + r.tuple(t.Params(), t.Variadic()) + ")"
	switch t.Results().Len() {
	case 0:
		return text
	case 1:
		return text + " " + r.tuple(t.Results(), false)
	default:
		return text + " (" + r.tuple(t.Results(), false) + ")"
	}
}

func (r renderer) tuple(tuple *types.Tuple, variadic bool) string {
	var list []string
	for v := range tuple.Variables() {
		list = append(list, r.typ(v.Type()))
	}
	if variadic {
		last := tuple.At(tuple.Len() - 1).Type()
		if slice, ok := last.(*types.Slice); ok {
			list[len(list)-1] = "..." + r.typ(slice.Elem())
		}
	}
	return strings.Join(list, ", ")
}

func (r renderer) structure(t *types.Struct) string {
	var list []string
	for _, field := range fieldsOf(t, r) {
		list = append(list, field.name+" "+field.text)
	}
	if len(list) < t.NumFields() {
		list = append(list, "unexported fields")
	}
	return "struct{" + strings.Join(list, "; ") + "}"
}

// interfaceType lists all methods, including embedded ones. An unexported
// method only shows that no other package can implement the interface.
func (r renderer) interfaceType(t *types.Interface) string {
	if !t.IsMethodSet() {
		return types.TypeString(t, func(p *types.Package) string { return r.packageName(p) })
	}
	var list []string
	for method := range t.Methods() {
		if method.Exported() {
			list = append(list, method.Name()+r.signature(method.Signature()))
		}
	}
	slices.Sort(list)
	if len(list) < t.NumMethods() {
		list = append(list, "unexported methods")
	}
	return "interface{" + strings.Join(list, "; ") + "}"
}
