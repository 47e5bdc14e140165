// SPDX-License-Identifier: Apache-2.0

package inflate

import (
	"compress/flate"
	"encoding/binary"
)

const (
	historyBytes = 32 << 10
	// outputBytes are decoded at a time.
	outputBytes = 64 << 10
	// slackBytes follow them: a match may pass the end, and copies write whole words.
	slackBytes = 258 + 32
)

// decoder reads the blocks of one stream of RFC 1951.
type decoder struct {
	bitReader
	output []byte // history, then at least outputBytes, then slackBytes
	origin int    // where in output the stream began, or the window begins
	end    int    // the end of the decoded bytes

	symbol   [symbolTable]entry
	distance [distanceTable]entry
	isFixed  bool // the tables have the fixed codes

	step    func(*decoder) error // reads what comes next; nil at the end of the stream
	isFinal bool                 // the block is the last
	stored  int                  // bytes left of a stored block
	codes   codes
}

func (d *decoder) reset() {
	if d.output == nil {
		d.output = make([]byte, historyBytes+outputBytes+slackBytes)
	}
	d.origin, d.end = 0, 0
	d.step, d.isFinal = (*decoder).header, false
}

// limit is the end of the output, except what a match may write beyond it.
func (d *decoder) limit() int { return len(d.output) - slackBytes }

// more decodes until the output is full or the stream has ended. It returns the
// output, also together with an error.
func (d *decoder) more() (output []byte, err error) {
	d.slide()
	begin := d.end
	for err == nil && d.step != nil && d.end < d.limit() {
		err = d.step(d)
	}
	return d.output[begin:d.end], err
}

// slide drops what is too old for a distance.
func (d *decoder) slide() {
	if d.end <= historyBytes {
		return
	}
	shift := d.end - historyBytes
	copy(d.output, d.output[shift:d.end])
	d.end = historyBytes
	d.origin = max(0, d.origin-shift)
}

// coded decodes symbols until the end of the block or of the output.
func (d *decoder) coded() error {
	for d.end < d.limit() {
		if d.bitReader.end-d.pos < loadBytes {
			d.fill()
		}
		decode := (*decoder).fast
		if d.bitReader.end-d.pos < loadBytes {
			decode = (*decoder).one
		}
		ended, err := decode(d)
		if err != nil {
			return err
		}
		if ended {
			d.endBlock()
			return nil
		}
	}
	return nil
}

// fast decodes while loadBytes of input are left.
func (d *decoder) fast() (ended bool, err error) {
	input, output := d.input[:d.bitReader.end], d.output
	pos, end, limit, origin := d.pos, d.end, d.limit(), d.origin
	buffer, count := d.buffer, d.count
	last := len(input) - loadBytes
	isCorrupt := false
	for pos <= last && end < limit {
		// The bits above count are those that the next load finds again.
		buffer |= binary.LittleEndian.Uint64(input[pos:]) << (count & 63)
		pos += int((63 - count) >> 3)
		count |= 56
		e := d.symbol[buffer&(1<<symbolBits-1)]
		if e&isLiteral != 0 {
			// Four entries of at most symbolBits need no further load.
			buffer >>= e & 31
			count -= uint(e & 31)
			binary.LittleEndian.PutUint16(output[end:], uint16(e>>16))
			end += int(e >> 8 & 3)
			e = d.symbol[buffer&(1<<symbolBits-1)]
			if e&isLiteral != 0 {
				buffer >>= e & 31
				count -= uint(e & 31)
				binary.LittleEndian.PutUint16(output[end:], uint16(e>>16))
				end += int(e >> 8 & 3)
				e = d.symbol[buffer&(1<<symbolBits-1)]
				if e&isLiteral != 0 {
					buffer >>= e & 31
					count -= uint(e & 31)
					binary.LittleEndian.PutUint16(output[end:], uint16(e>>16))
					end += int(e >> 8 & 3)
					e = d.symbol[buffer&(1<<symbolBits-1)]
					if e&isLiteral != 0 {
						buffer >>= e & 31
						count -= uint(e & 31)
						binary.LittleEndian.PutUint16(output[end:], uint16(e>>16))
						end += int(e >> 8 & 3)
						continue
					}
				}
			}
			buffer |= binary.LittleEndian.Uint64(input[pos:]) << (count & 63)
			pos += int((63 - count) >> 3)
			count |= 56
		}
		if e&isSpecial != 0 {
			if e&isLink != 0 {
				buffer >>= e & 31
				count -= uint(e & 31)
				e = d.symbol[(uint64(e>>16)+buffer&(1<<(e>>8&15)-1))&(symbolTable-1)]
				if e&isLiteral != 0 {
					buffer >>= e & 31
					count -= uint(e & 31)
					output[end] = byte(e >> 16)
					end++
					continue
				}
			}
			if e&isSpecial != 0 {
				ended = e&isEnd != 0
				if ended {
					buffer >>= e & 31
					count -= uint(e & 31)
				}
				isCorrupt = !ended
				break
			}
		}
		length := int(e>>16) + int(buffer&(1<<(e&31)-1)>>(e>>8&15))
		buffer >>= e & 31
		count -= uint(e & 31)
		e = d.distance[buffer&(1<<distanceBits-1)]
		if e&isSpecial != 0 {
			if e&isLink != 0 {
				buffer >>= e & 31
				count -= uint(e & 31)
				e = d.distance[(uint64(e>>16)+buffer&(1<<(e>>8&15)-1))&(distanceTable-1)]
			}
			if e&isSpecial != 0 {
				isCorrupt = true
				break
			}
		}
		distance := int(e>>16) + int(buffer&(1<<(e&31)-1)>>(e>>8&15))
		buffer >>= e & 31
		count -= uint(e & 31)
		from := end - distance
		if from < origin {
			isCorrupt = true
			break
		}
		match(output, end, from, length)
		end += length
	}
	d.pos, d.end = pos, end
	d.buffer, d.count = buffer&(1<<count-1), count
	if isCorrupt {
		return false, d.corrupt()
	}
	return ended, nil
}

// match copies length bytes from an earlier place of output to end. It can write
// slackBytes more.
func match(output []byte, end, from, length int) {
	to, source := output[end:end+length+16], output[from:]
	switch distance := end - from; {
	case distance >= 16:
		for i := 0; i < length; i += 16 {
			*(*[16]byte)(to[i:]) = *(*[16]byte)(source[i:])
		}
	case distance >= 8:
		for i := 0; i < length; i += 8 {
			binary.LittleEndian.PutUint64(to[i:], binary.LittleEndian.Uint64(source[i:]))
		}
	case distance == 1:
		word := uint64(source[0]) * 0x0101010101010101
		for i := 0; i < length; i += 8 {
			binary.LittleEndian.PutUint64(to[i:], word)
		}
	default:
		for i := range length {
			to[i] = source[i]
		}
	}
}

// one decodes one symbol, or two literals, near the end of the input.
func (d *decoder) one() (ended bool, err error) {
	e, err := d.look(d.symbol[:], symbolBits)
	if err != nil {
		return false, err
	}
	if e&isLiteral != 0 {
		return false, d.literals(e)
	}
	length, err := d.value(e)
	if err != nil || e&isEnd != 0 {
		return err == nil, err
	}
	if e, err = d.look(d.distance[:], distanceBits); err != nil {
		return false, err
	}
	distance, err := d.value(e)
	if err != nil {
		return false, err
	}
	from := d.end - distance
	if from < d.origin {
		return false, d.corrupt()
	}
	match(d.output, d.end, from, length)
	d.end += length
	return false, nil
}

// look returns the entry of the next code. Bits that are missing count as zeros: the
// code that is found then has more bits than there are.
func (d *decoder) look(table []entry, indexBits uint) (entry, error) {
	d.want(48)
	e := table[d.buffer&(1<<indexBits-1)]
	if e&isLink != 0 && e&isSpecial != 0 {
		if d.count < indexBits {
			return 0, d.ended()
		}
		d.drop(indexBits)
		e = table[uint64(e>>16)+d.buffer&(1<<(e>>8&15)-1)]
	}
	if e&isSpecial == 0 || e&isEnd != 0 {
		return e, nil
	}
	isHole := e == notACode
	if uint(e&31) > d.count || isHole && d.count == 0 && d.err != nil {
		return 0, d.ended()
	}
	return 0, d.corrupt()
}

// literals writes one literal, or two if their bits are there.
func (d *decoder) literals(e entry) error {
	n, written := uint(e&31), int(e>>8&3)
	if n > d.count && written == 2 {
		n, written = uint(e>>12&15), 1
	}
	if n > d.count {
		return d.ended()
	}
	d.drop(n)
	binary.LittleEndian.PutUint16(d.output[d.end:], uint16(e>>16))
	d.end += written
	return nil
}

// value drops the bits of an entry, and returns its base plus its extra bits.
func (d *decoder) value(e entry) (int, error) {
	n := uint(e & 31)
	if n > d.count {
		return 0, d.ended()
	}
	value := int(e>>16) + int(d.buffer&(1<<n-1)>>(e>>8&15))
	d.drop(n)
	return value, nil
}

// corrupt returns the error of a stream that is not one of RFC 1951.
func (d *decoder) corrupt() error { return flate.CorruptInputError(d.offset()) }
