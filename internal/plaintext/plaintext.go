// SPDX-License-Identifier: Apache-2.0

// Package plaintext makes untrusted text safe to print on a terminal, which obeys
// control characters, and in a log, where such text could forge lines.
//
// Command line tools print errors and progress verbatim. Code that composes such
// texts therefore quotes the parts that come from configs, archives, registries,
// runtimes and plugins. Letters of all scripts stay unchanged.
package plaintext

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote returns text on one line. It escapes, as in a Go string, control
// characters (C0, DEL, C1), line separators, characters that are invisible or
// change the writing direction, and bytes that are not UTF-8. Quote is
// idempotent.
func Quote(text string) string { return quote(text, false) }

// Lines is like [Quote] but keeps newlines. Use it only where newlines come from
// this program, such as between joined errors.
func Lines(text string) string { return quote(text, true) }

// Sprintf is like [fmt.Sprintf] with a quoted result. It joins the lines of an
// error among args, such as a joined error, by semicolons.
func Sprintf(format string, args ...any) string {
	for i, arg := range args {
		if err, ok := arg.(error); ok && err != nil {
			args[i] = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
	}
	return Quote(fmt.Sprintf(format, args...))
}

// Is reports whether text is plain: whether [Quote] returns it unchanged.
func Is(text string) bool { return indexUnplain(text, false) < 0 }

// Error returns err itself if its text is plain except for newlines. Otherwise it
// returns an error that wraps err and has the text quoted by [Lines].
func Error(err error) error {
	if err == nil || indexUnplain(err.Error(), true) < 0 {
		return err
	}
	return quotedError{err}
}

// quotedError wraps an error and makes its text plain.
type quotedError struct{ error }

func (e quotedError) Error() string { return Lines(e.error.Error()) }

func (e quotedError) Unwrap() error { return e.error }

func quote(text string, lines bool) string {
	first := indexUnplain(text, lines)
	if first < 0 {
		return text
	}
	var quoted strings.Builder
	quoted.WriteString(text[:first])
	for at := first; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		if isPlain(r, size, lines) {
			quoted.WriteString(text[at : at+size])
		} else {
			quoted.WriteString(escape(r, size, text[at]))
		}
		at += size
	}
	return quoted.String()
}

// indexUnplain returns the index of the first character that is not plain, or -1.
func indexUnplain(text string, lines bool) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		if !isPlain(r, size, lines) {
			return at
		}
		at += size
	}
	return -1
}

func isPlain(r rune, size int, lines bool) bool {
	switch {
	case r == '\n':
		return lines
	case r < utf8.RuneSelf:
		return r >= ' ' && r != '\x7f'
	case r == utf8.RuneError && size == 1:
		return false
	}
	return !unicode.IsControl(r) && !unicode.Is(unplain, r)
}

// unplain are the characters, besides control characters, that are escaped: line
// separators and invisible characters, which are Unicode's
// [Default_Ignorable_Code_Point] and a blank. Joiners (U+200C, U+200D) and the
// variation selectors U+FE00 to U+FE0F are excluded, because Persian, Hindi and
// emoji need them.
//
// [Default_Ignorable_Code_Point]: https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point
var unplain = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x00AD, Hi: 0x00AD, Stride: 1}, // soft hyphen
		{Lo: 0x034F, Hi: 0x034F, Stride: 1}, // combining grapheme joiner
		{Lo: 0x061C, Hi: 0x061C, Stride: 1}, // Arabic letter mark
		{Lo: 0x115F, Hi: 0x1160, Stride: 1}, // Hangul fillers
		{Lo: 0x17B4, Hi: 0x17B5, Stride: 1}, // Khmer inherent vowels
		{Lo: 0x180B, Hi: 0x180F, Stride: 1}, // Mongolian variation selectors and vowel separator
		{Lo: 0x200B, Hi: 0x200B, Stride: 1}, // zero width space
		{Lo: 0x200E, Hi: 0x200F, Stride: 1}, // directional marks
		{Lo: 0x2028, Hi: 0x202E, Stride: 1}, // line and paragraph separators; directional embeddings and overrides
		{Lo: 0x2060, Hi: 0x206F, Stride: 1}, // word joiner, invisible operators; directional isolates
		{Lo: 0x2800, Hi: 0x2800, Stride: 1}, // Braille blank
		{Lo: 0x3164, Hi: 0x3164, Stride: 1}, // Hangul filler
		{Lo: 0xFEFF, Hi: 0xFEFF, Stride: 1}, // byte order mark
		{Lo: 0xFFA0, Hi: 0xFFA0, Stride: 1}, // Hangul filler
		{Lo: 0xFFF0, Hi: 0xFFFB, Stride: 1}, // reserved; interlinear annotation
	},
	R32: []unicode.Range32{
		{Lo: 0x1BCA0, Hi: 0x1BCA3, Stride: 1}, // shorthand format controls
		{Lo: 0x1D173, Hi: 0x1D17A, Stride: 1}, // musical symbol format controls
		{Lo: 0xE0000, Hi: 0xE0FFF, Stride: 1}, // tags, ideographic variation selectors
	},
	LatinOffset: 1,
}

// escape returns a character as a Go escape sequence. If r is not valid UTF-8, it
// escapes first, the byte at its position.
func escape(r rune, size int, first byte) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return fmt.Sprintf(`\x%02x`, first)
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < utf8.RuneSelf:
		return fmt.Sprintf(`\x%02x`, r)
	case r > 0xFFFF:
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
