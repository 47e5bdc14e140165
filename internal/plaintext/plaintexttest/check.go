// SPDX-License-Identifier: Apache-2.0

// Package plaintexttest checks that error types have plain texts, whatever their
// fields contain.
package plaintexttest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Hostile is text that would manipulate a terminal in several ways and forge
// lines.
const Hostile = "x\r\n\x1b[2J\x1b]0;t\a\b\x7f\u009b1A\u202e\u2066\u2028\xff"

// Check fills the empty fields of errs with [Hostile] text and errors, and checks
// that the texts of errs are plain. Each is a pointer to a value of its type. Use
// [CheckLines] for types with texts of several lines.
func Check(t testing.TB, errs ...any) {
	t.Helper()
	for _, err := range errs {
		if text := filled(t, err).Error(); !plaintext.Is(text) {
			t.Errorf("%T: the text is not plain: %q", err, text)
		}
	}
}

// CheckLines is [Check] for a type with a text of several lines. It checks their
// number and that each is plain.
func CheckLines(t testing.TB, lines int, err any) {
	t.Helper()
	split := strings.Split(filled(t, err).Error(), "\n")
	if len(split) != lines {
		t.Errorf("%T: the text has %d lines, want %d: %q", err, len(split), lines, split)
	}
	for _, line := range split {
		if !plaintext.Is(line) {
			t.Errorf("%T: a line is not plain: %q", err, line)
		}
	}
}

// filled fills the fields of the value that pointer points to, and returns pointer
// or the value as an error.
func filled(t testing.TB, pointer any) error {
	t.Helper()
	value := reflect.ValueOf(pointer)
	if value.Kind() != reflect.Pointer {
		t.Fatalf("%T is not a pointer", pointer)
	}
	fill(value.Elem())
	if err, ok := pointer.(error); ok {
		return err
	}
	err, ok := value.Elem().Interface().(error)
	if !ok {
		t.Fatalf("%T is not an error", pointer)
	}
	return err
}

// fill sets every empty string, error and slice in value to hostile content.
func fill(value reflect.Value) {
	if value.Kind() == reflect.Struct {
		for i := range value.NumField() {
			field := value.Field(i)
			fill(reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem())
		}
		return
	}
	if !value.IsZero() {
		return
	}
	switch {
	case value.Kind() == reflect.String:
		value.SetString(Hostile)
	case value.Type() == reflect.TypeFor[error]():
		value.Set(reflect.ValueOf(errors.Join(errors.New(Hostile), fmt.Errorf("%s", Hostile))))
	case value.Kind() == reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 2, 2))
		for i := range value.Len() {
			fill(value.Index(i))
		}
	}
}
