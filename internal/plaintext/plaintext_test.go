// SPDX-License-Identifier: Apache-2.0

package plaintext

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestQuote(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"plain", `open "/a b": no such file`, `open "/a b": no such file`},
		{"letters of all scripts", "Gerät 插件 плагин إضافة תוסף प्लगइन ปลั๊กอิน 👩‍👧", "Gerät 插件 плагин إضافة תוסף प्लगइन ปลั๊กอิน 👩‍👧"},
		{"a backslash", `C:\n`, `C:\n`},
		{"colours", "\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		{"a title", "\x1b]0;title\a", `\x1b]0;title\x07`},
		{"back to the line's start", "safe\rdanger", `safe\rdanger`},
		{"backspace", "a\bb", `a\x08b`},
		{"lines", "a\nb\tc\vd\fe", `a\nb\tc\x0bd\x0ce`},
		{"nul", "a\x00b", `a\x00b`},
		{"delete", "a\x7fb", `a\x7fb`},
		{"a control sequence of C1", "a\u009b31mb", `a\u009b31mb`},
		{"C1 as a byte", "a\x9b31mb", `a\x9b31mb`},
		{"next line of C1", "a\u0085b", `a\u0085b`},
		{"separators", "a\u2028b\u2029c", `a\u2028b\u2029c`},
		{"an override", "a\u202eb", `a\u202eb`},
		{"isolates", "a\u2066b\u2069c", `a\u2066b\u2069c`},
		{"marks of direction", "a\u200eb\u200fc\u061cd", `a\u200eb\u200fc\u061cd`},
		{"what can't be seen", "a\u200bb\ufeffc", `a\u200bb\ufeffc`},
		{"a tag", "a\U000E0041b", `a\U000e0041b`},
		{"no UTF-8", "a\xff\xc3b", `a\xff\xc3b`},
		{"half of a surrogate", "a\xed\xa0\x80b", `a\xed\xa0\x80b`},
		{"the replacement itself", "a\ufffdb", "a\ufffdb"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Check(t, is.Equal(Quote(tc.text), tc.want))
			assert.Check(t, is.Equal(Is(tc.text), tc.text == tc.want))
			assert.Check(t, is.Equal(Lines(tc.text), strings.ReplaceAll(tc.want, `a\nb\tc`, "a\nb\\tc")))
		})
	}
}

// Every character that Go's tables classify as Default_Ignorable_Code_Point, by
// the derivation in Unicode's DerivedCoreProperties.txt, is escaped.
func TestInvisibleTextIsNotPlain(t *testing.T) {
	kept := func(r rune) bool { return r == 0x200C || r == 0x200D || r >= 0xFE00 && r <= 0xFE0F }
	invisible := func(r rune) bool {
		return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Cf, unicode.Variation_Selector) &&
			!unicode.In(r, unicode.White_Space, unicode.Prepended_Concatenation_Mark) &&
			(r < 0x13430 || r > 0x13440) // hieroglyph format controls, which are visible
	}
	for r := rune(0x20); r <= unicode.MaxRune; r++ {
		switch {
		case invisible(r):
			assert.Check(t, is.Equal(Is(string(r)), kept(r)), "%U", r)
		case unicode.IsPrint(r) && r != 0x2800:
			assert.Check(t, Is(string(r)), "%U", r)
		}
	}
	assert.Check(t, !Is("\u2800"), "a blank is plain")
	assert.Check(t, Is("❤️ 葛︀"), "a variation selector is not plain")
}

func TestSprintf(t *testing.T) {
	assert.Equal(t, Sprintf("%s of %d: %v", "a\x1b\n", 2, errors.Join(errors.New("b\r"), errors.New("c"))), `a\x1b\n of 2: b\r; c`)
	assert.Equal(t, Sprintf("%q", "a\x1b\n"), `"a\x1b\n"`)
}

func TestErrorIsWhatItWraps(t *testing.T) {
	plain := errors.Join(fs.ErrNotExist, fs.ErrExist)
	assert.Check(t, Error(plain) == plain, "a plain error was wrapped")
	assert.Check(t, Error(nil) == nil)

	hostile := fmt.Errorf("open \x1b[2J:\n%w", fs.ErrNotExist)
	quoted := Error(hostile)
	assert.Equal(t, quoted.Error(), `open \x1b[2J:`+"\nfile does not exist")
	assert.Check(t, errors.Is(quoted, fs.ErrNotExist))
	assert.Check(t, is.Equal(errors.Unwrap(quoted), hostile))
}

// FuzzQuote checks that quoted text is plain, that Quote is idempotent, and that
// no information is lost.
func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x1b[2J", "a\u202eb", "\xff", "插件\n", "\U000E0041"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted := Quote(text)
		assert.Assert(t, utf8.ValidString(quoted))
		assert.Assert(t, Is(quoted), "%q", quoted)
		assert.Equal(t, Quote(quoted), quoted)
		for _, r := range quoted {
			assert.Assert(t, r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) && r != 0x202e, "%q has %q", quoted, r)
		}
		if Is(text) {
			assert.Equal(t, quoted, text)
		} else if !strings.ContainsAny(text, "\\\"") {
			back, err := strconv.Unquote(`"` + quoted + `"`)
			assert.NilError(t, err)
			assert.Equal(t, back, text)
		}
		assert.Equal(t, strings.Count(Lines(text), "\n"), strings.Count(text, "\n"))
	})
}
