// SPDX-License-Identifier: Apache-2.0

package bounded

import "bytes"

// Cutter cuts a stream into lines. A line of more than Max bytes becomes several
// pieces, so that a stream without newlines takes no more memory than that. It
// belongs to one goroutine.
type Cutter struct {
	Max     int // bytes of a line, without its newline; at least 1
	partial []byte
}

// Cut calls line with each line that data completes, newline included, and with
// each piece of Max bytes that ends in none. The rest is kept for the next call.
// A line is valid until line returns.
func (c *Cutter) Cut(data []byte, line func([]byte)) {
	for len(data) > 0 {
		if len(c.partial) == c.Max && data[0] != '\n' {
			c.Flush(line)
		}
		room := data[:min(len(data), c.Max-len(c.partial)+1)]
		end := bytes.IndexByte(room, '\n') + 1
		complete := end > 0
		if !complete {
			end = min(len(room), c.Max-len(c.partial))
		}
		c.partial = append(c.partial, data[:end]...)
		data = data[end:]
		if complete {
			c.Flush(line)
		}
	}
}

// Flush calls line with the rest, if there is any.
func (c *Cutter) Flush(line func([]byte)) {
	if len(c.partial) > 0 {
		line(c.partial)
		c.partial = c.partial[:0]
	}
}
