// SPDX-License-Identifier: Apache-2.0

package plaintext

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// JSONWriter returns a writer that escapes, in the strings of JSON texts, every
// character that is not plain (https://www.rfc-editor.org/rfc/rfc8259#section-7).
// The values stay the same, and a terminal can show the text. Each Write takes
// one or more complete JSON texts.
func JSONWriter(w io.Writer) io.Writer { return jsonWriter{w} }

type jsonWriter struct{ io.Writer }

func (w jsonWriter) Write(text []byte) (int, error) {
	escaped := escapeJSON(string(text))
	if _, err := io.WriteString(w.Writer, escaped); err != nil {
		return 0, err
	}
	return len(text), nil
}

func escapeJSON(text string) string {
	if indexUnplain(text, true) < 0 {
		return text
	}
	var escaped strings.Builder
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		if isPlain(r, size, true) || r == '\t' || r == '\r' { // white space between tokens
			escaped.WriteString(text[at : at+size])
		} else {
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&escaped, `\u%04x`, unit)
			}
		}
		at += size
	}
	return escaped.String()
}
