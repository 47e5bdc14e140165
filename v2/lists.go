// SPDX-License-Identifier: Apache-2.0

package v2

// longestList returns the number of entries in the longest list of a JSON
// document, without decoding it: an empty entry takes two bytes of text, and a
// hundred times as many when decoded. The decoder refuses invalid JSON later.
func longestList(data []byte) int {
	longest, inString := 0, false
	var commas []int // in each list or object that is open
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString:
			switch c {
			case '\\':
				i++
			case '"':
				inString = false
			}
		case c == '"':
			inString = true
		case c == '[' || c == '{':
			commas = append(commas, 0)
		case c == ',' && len(commas) > 0:
			commas[len(commas)-1]++
		case (c == ']' || c == '}') && len(commas) > 0:
			if c == ']' {
				longest = max(longest, commas[len(commas)-1]+1)
			}
			commas = commas[:len(commas)-1]
		}
	}
	return longest
}
