// Package plaintext makes text from outside safe to print: on a terminal, which
// obeys control characters, and in a log, whose lines it could forge.
//
// Command lines print errors and progress as they are, so whoever composes
// such a text quotes what it takes from configs, archives, registries, runtimes
// and plugins. Letters of all scripts stay what they are.
package plaintext

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote returns text on one line, with what is no plain text escaped as in a
// string of Go: control characters (C0, DEL, C1), separators of lines, what
// changes the direction of writing or can't be seen, and bytes that are no
// UTF-8. Quoting twice changes nothing more.
func Quote(text string) string { return quote(text, false) }

// Lines is [Quote] for a text that may have several lines: newlines stay. Use
// it only where they come from this program, such as between joined errors.
func Lines(text string) string { return quote(text, true) }

// Sprintf is [fmt.Sprintf], quoted. The lines of an error among args, such as
// of joined ones, come one after the other, separated by semicolons.
func Sprintf(format string, args ...any) string {
	for i, arg := range args {
		if err, ok := arg.(error); ok && err != nil {
			args[i] = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
	}
	return Quote(fmt.Sprintf(format, args...))
}

// Is reports whether text is plain: whether [Quote] leaves it alone.
func Is(text string) bool { return indexUnplain(text, false) < 0 }

// Error returns err with a text that is safe to print, in which newlines stay:
// err itself if it is so already. The result wraps err.
func Error(err error) error {
	if err == nil || indexUnplain(err.Error(), true) < 0 {
		return err
	}
	return quotedError{err}
}

// quotedError is an error whose text is not plain.
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

// indexUnplain returns where the first character is that is not plain, or -1.
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

// unplain is what beyond control characters is not written as it is: ends of
// lines, and what can't be seen, which is Unicode's [Default_Ignorable_Code_Point]
// and a blank. Joiners (U+200C, U+200D) and the variation selectors U+FE00 to
// U+FE0F are not among it: Persian, Hindi and emoji need them.
//
// [Default_Ignorable_Code_Point]: https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point
var unplain = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x00AD, Hi: 0x00AD, Stride: 1}, // soft hyphen
		{Lo: 0x034F, Hi: 0x034F, Stride: 1}, // joiner of graphemes
		{Lo: 0x061C, Hi: 0x061C, Stride: 1}, // the direction of Arabic
		{Lo: 0x115F, Hi: 0x1160, Stride: 1}, // fillers of Hangul
		{Lo: 0x17B4, Hi: 0x17B5, Stride: 1}, // inherent vowels of Khmer
		{Lo: 0x180B, Hi: 0x180F, Stride: 1}, // selectors and separator of Mongolian
		{Lo: 0x200B, Hi: 0x200B, Stride: 1}, // no width
		{Lo: 0x200E, Hi: 0x200F, Stride: 1}, // marks of direction
		{Lo: 0x2028, Hi: 0x202E, Stride: 1}, // ends of lines and paragraphs; embeddings, overrides
		{Lo: 0x2060, Hi: 0x206F, Stride: 1}, // no width; isolates
		{Lo: 0x2800, Hi: 0x2800, Stride: 1}, // a blank of Braille
		{Lo: 0x3164, Hi: 0x3164, Stride: 1}, // a filler of Hangul
		{Lo: 0xFEFF, Hi: 0xFEFF, Stride: 1}, // mark of byte order
		{Lo: 0xFFA0, Hi: 0xFFA0, Stride: 1}, // a filler of Hangul
		{Lo: 0xFFF0, Hi: 0xFFFB, Stride: 1}, // reserved; annotations between lines
	},
	R32: []unicode.Range32{
		{Lo: 0x1BCA0, Hi: 0x1BCA3, Stride: 1}, // controls of shorthand
		{Lo: 0x1D173, Hi: 0x1D17A, Stride: 1}, // controls of musical notes
		{Lo: 0xE0000, Hi: 0xE0FFF, Stride: 1}, // tags, selectors of ideographs
	},
	LatinOffset: 1,
}

// escape writes a character, whose first byte is first, as Go does.
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
