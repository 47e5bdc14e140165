// SPDX-License-Identifier: Apache-2.0

package inflate

import "math/bits"

// An entry of a table is what the next bits of a stream mean:
//
//	bits 0-4    how many bits to drop: of the code, and of its extra bits
//	bit 5       isLiteral
//	bit 6       isSpecial: a subtable, the end of the block, or not a code
//	bits 8-11   of literals: how many, 1 or 2; otherwise: the bits of the code alone,
//	            or of the index of a subtable
//	bits 12-15  of two literals: the bits of the first; of specials: isLink, isEnd
//	bits 16-31  the literals, the first in the lower byte; the base of a length or
//	            distance; the place of a subtable
//
// Entries with isSpecial and neither isLink nor isEnd are not codes.
type entry = uint32

const (
	isLiteral entry = 1 << 5
	isSpecial entry = 1 << 6
	isLink    entry = 1 << 12
	isEnd     entry = 1 << 13

	notACode = isSpecial
)

const (
	maxCodeBits = 15
	// symbolBits and distanceBits are the indices of the tables. Their sizes are
	// powers of two that hold the subtables of every code, which can take 2342 and
	// 402 entries by zlib's program enough.
	symbolBits    = 11
	distanceBits  = 8
	symbolTable   = 1 << 12
	distanceTable = 1 << 9
	// lengthBits is the index of the table of the code lengths' code.
	lengthBits = 7

	endOfBlock = 256
)

// symbols and distances are the entries of each symbol, without the bits of its code.
var symbols, distances = symbolEntries(), distanceEntries()

// symbolEntries follows the table of lengths in
// https://www.rfc-editor.org/rfc/rfc1951#section-3.2.5.
func symbolEntries() (all [288]entry) {
	for literal := range endOfBlock {
		all[literal] = isLiteral | 1<<8 | entry(literal)<<16
	}
	all[endOfBlock] = isSpecial | isEnd
	base := entry(3)
	for i := range 28 {
		extra := max(0, i/4-1)
		all[endOfBlock+1+i] = base<<16 | entry(extra)
		base += 1 << extra
	}
	all[285] = 258 << 16
	all[286], all[287] = notACode, notACode
	return all
}

// distanceEntries follows the table of distances there.
func distanceEntries() (all [32]entry) {
	base := entry(1)
	for i := range 30 {
		extra := max(0, i/2-1)
		all[i] = base<<16 | entry(extra)
		base += 1 << extra
	}
	all[30], all[31] = notACode, notACode
	return all
}

// withCode returns the entry of a symbol with n bits of its code.
func withCode(symbol entry, n uint) entry {
	if symbol&(isLiteral|isSpecial) != 0 {
		return symbol + entry(n)
	}
	return symbol + entry(n) + entry(n)<<8
}

// codes are the codes of symbols, in the order of their values.
type codes struct {
	count   [maxCodeBits + 1]int // by their number of bits
	symbols [320]uint16          // by their number of bits, then by value
	total   int
	longest uint
}

// sort reads the number of bits of each symbol's code. It returns false if these do
// not make a prefix code. As in compress/flate, a code can be complete, have a single symbol
// of one bit, or be empty.
func (c *codes) sort(lengths []uint8) bool {
	*c = codes{}
	for _, n := range lengths {
		c.count[n]++
	}
	c.count[0] = 0
	var place [maxCodeBits + 2]int
	unused := 1
	for n := 1; n <= maxCodeBits; n++ {
		place[n+1] = place[n] + c.count[n]
		if unused = unused<<1 - c.count[n]; unused < 0 {
			return false
		}
		if c.count[n] > 0 {
			c.longest = uint(n)
		}
	}
	c.total = place[maxCodeBits+1]
	for symbol, n := range lengths {
		if n > 0 {
			c.symbols[place[n]] = uint16(symbol)
			place[n]++
		}
	}
	return unused == 0 || c.total == 0 || c.total == 1 && c.longest == 1
}

// shortest returns the number of bits of the shortest code.
func (c *codes) shortest() int {
	for n := 1; n <= maxCodeBits; n++ {
		if c.count[n] > 0 {
			return n
		}
	}
	return maxCodeBits
}

// build fills a table of the codes. The first 1<<indexBits entries are the index, and
// the others are for subtables.
func (c *codes) build(table []entry, indexBits uint, symbols []entry) {
	index := table[:1<<indexBits]
	if c.total < 2 {
		for i := range index {
			index[i] = notACode
		}
	}
	code, next := 0, 0
	for n := uint(1); n <= min(c.longest, indexBits); n++ {
		for _, symbol := range c.symbols[next : next+c.count[n]] {
			fill(index, reverse(code, n), n, symbols[symbol])
			code++
		}
		next += c.count[n]
		code <<= 1
	}
	c.buildSubtables(table, indexBits, symbols, next, code)
}

// buildSubtables fills subtables for codes that are longer than the index. next and
// code are the first of them. Codes with the same first bits share a subtable, and
// follow each other.
func (c *codes) buildSubtables(table []entry, indexBits uint, symbols []entry, next, code int) {
	end, prefix := 1<<indexBits, -1
	var subtable []entry
	for n := indexBits + 1; n <= c.longest; n++ {
		for left := c.count[n]; left > 0; left-- {
			below := n - indexBits
			if first := code >> below; first != prefix {
				prefix = first
				width := c.subtableBits(n, left, indexBits)
				table[reverse(prefix, indexBits)] = entry(end)<<16 | isSpecial | isLink | entry(width)<<8 | entry(indexBits)
				subtable = table[end : end+1<<width]
				end += 1 << width
			}
			fill(subtable, reverse(code, n)>>indexBits, below, symbols[c.symbols[next]])
			next++
			code++
		}
		code <<= 1
	}
}

// subtableBits returns the index bits of a subtable that begins with a code of n
// bits, when left codes of that length remain.
func (c *codes) subtableBits(n uint, left int, indexBits uint) uint {
	width := n - indexBits
	for used := left; used < 1<<width && indexBits+width < c.longest; {
		width++
		used = used<<1 + c.count[indexBits+width]
	}
	return width
}

// fill sets the entries with code as their lowest n bits.
func fill(table []entry, code int, n uint, symbol entry) {
	e := withCode(symbol, n)
	for i := code; i < len(table); i += 1 << n {
		table[i] = e
	}
}

// reverse returns the code as the stream has it, from its highest bit to its lowest.
func reverse(code int, n uint) int { return int(bits.Reverse16(uint16(code)) >> (16 - n)) }

// pair makes one entry of two literals where the index has bits for both.
func pair(index []entry, indexBits uint) {
	// An entry looks at one with a lower index, which is not a pair yet.
	for i := len(index) - 1; i > 0; i-- {
		first := index[i]
		if first&isLiteral == 0 {
			continue
		}
		n := first & 31
		second := index[i>>n]
		if second&isLiteral != 0 && n+second&31 <= entry(indexBits) {
			index[i] = joined(first, second)
		}
	}
	if e := index[0]; e&isLiteral != 0 && 2*(e&31) <= entry(indexBits) {
		index[0] = joined(e, e)
	}
}

func joined(first, second entry) entry {
	return isLiteral | (first&31 + second&31) | 2<<8 | (first&31)<<12 | first>>16<<16 | second>>16<<24
}
