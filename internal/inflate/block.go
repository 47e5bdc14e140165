// SPDX-License-Identifier: Apache-2.0

package inflate

const (
	stored = iota
	fixed
	dynamic
)

// header reads the header of a block.
func (d *decoder) header() error {
	bits, err := d.take(3)
	if err != nil {
		return err
	}
	d.isFinal = bits&1 != 0
	switch bits >> 1 {
	case stored:
		return d.beginStored()
	case fixed:
		d.useFixed()
	case dynamic:
		d.isFixed = false
		if err := d.readCodes(); err != nil {
			return err
		}
	default:
		return d.corrupt()
	}
	d.step = (*decoder).coded
	return nil
}

func (d *decoder) endBlock() {
	d.step = (*decoder).header
	if d.isFinal {
		d.step = nil
	}
}

func (d *decoder) beginStored() error {
	d.align()
	length, err := d.take(16)
	if err != nil {
		return err
	}
	complement, err := d.take(16)
	if err != nil {
		return err
	}
	if complement != ^length&0xffff {
		return d.corrupt()
	}
	d.stored = int(length)
	d.step = (*decoder).copyStored
	return nil
}

func (d *decoder) copyStored() error {
	n, err := d.copyTo(d.output[d.end:min(d.limit(), d.end+d.stored)])
	d.end += n
	d.stored -= n
	if d.stored == 0 {
		d.endBlock()
	}
	return err
}

// useFixed makes the tables of the codes in
// https://www.rfc-editor.org/rfc/rfc1951#section-3.2.6.
func (d *decoder) useFixed() {
	if d.isFixed {
		return
	}
	var lengths [len(symbols)]uint8
	for symbol := range lengths {
		switch {
		case symbol < 144:
			lengths[symbol] = 8
		case symbol < 256:
			lengths[symbol] = 9
		case symbol < 280:
			lengths[symbol] = 7
		default:
			lengths[symbol] = 8
		}
	}
	d.makeSymbols(lengths[:])
	var distanceLengths [len(distances)]uint8
	for symbol := range distanceLengths {
		distanceLengths[symbol] = 5
	}
	d.makeDistances(distanceLengths[:])
	d.isFixed = true
}

// makeSymbols returns false if the lengths do not form a prefix code.
func (d *decoder) makeSymbols(lengths []uint8) bool {
	if !d.codes.sort(lengths) {
		return false
	}
	d.codes.build(d.symbol[:], symbolBits, symbols[:])
	if d.codes.shortest() <= symbolBits/2 {
		pair(d.symbol[:1<<symbolBits], symbolBits)
	}
	return true
}

// makeDistances returns false if the lengths do not form a prefix code.
func (d *decoder) makeDistances(lengths []uint8) bool {
	if !d.codes.sort(lengths) {
		return false
	}
	d.codes.build(d.distance[:], distanceBits, distances[:])
	return true
}

const (
	maxSymbols   = 286
	maxDistances = 30
)

// lengthOrder is the order in which a block has the lengths of the codes for lengths.
var lengthOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// readCodes reads the codes of a block as in
// https://www.rfc-editor.org/rfc/rfc1951#section-3.2.7.
func (d *decoder) readCodes() error {
	sizes, err := d.take(14)
	if err != nil {
		return err
	}
	symbolCount, distanceCount, lengthCount := int(sizes&31)+257, int(sizes>>5&31)+1, int(sizes>>10)+4
	if symbolCount > maxSymbols || distanceCount > maxDistances {
		return d.corrupt()
	}
	var table [1 << lengthBits]entry
	if err := d.readLengthCode(table[:], lengthCount); err != nil {
		return err
	}
	var lengths [maxSymbols + maxDistances]uint8
	all := lengths[:symbolCount+distanceCount]
	if err := d.readLengths(table[:], all); err != nil {
		return err
	}
	if !d.makeSymbols(all[:symbolCount]) || !d.makeDistances(all[symbolCount:]) {
		return d.corrupt()
	}
	return nil
}

// readLengthCode reads the code of the lengths.
func (d *decoder) readLengthCode(table []entry, count int) error {
	var lengths [len(lengthOrder)]uint8
	for _, symbol := range lengthOrder[:count] {
		n, err := d.take(3)
		if err != nil {
			return err
		}
		lengths[symbol] = uint8(n)
	}
	if !d.codes.sort(lengths[:]) {
		return d.corrupt()
	}
	d.codes.build(table, lengthBits, lengthSymbols[:])
	return nil
}

// Symbols of the code of the lengths that repeat a length.
const (
	repeatLast      = 16
	repeatZero      = 17
	repeatManyZeros = 18
)

// lengthSymbols are entries like those of distances, without extra bits.
var lengthSymbols = func() (all [len(lengthOrder)]entry) {
	for symbol := range all {
		all[symbol] = entry(symbol) << 16
	}
	return all
}()

// readLengths reads the lengths of the codes of a block.
func (d *decoder) readLengths(table []entry, lengths []uint8) error {
	for i := 0; i < len(lengths); {
		e, err := d.look(table, lengthBits)
		if err != nil {
			return err
		}
		symbol, err := d.value(e)
		if err != nil {
			return err
		}
		if symbol < repeatLast {
			lengths[i] = uint8(symbol)
			i++
			continue
		}
		if symbol == repeatLast && i == 0 {
			return d.corrupt()
		}
		count, err := d.repeats(symbol)
		if err != nil {
			return err
		}
		if i+count > len(lengths) {
			return d.corrupt()
		}
		for range count {
			if symbol == repeatLast {
				lengths[i] = lengths[i-1]
			}
			i++
		}
	}
	return nil
}

// repeats reads how often a length is repeated.
func (d *decoder) repeats(symbol int) (int, error) {
	least, bits := 3, uint(2)
	switch symbol {
	case repeatZero:
		bits = 3
	case repeatManyZeros:
		least, bits = 11, 7
	}
	more, err := d.take(bits)
	return least + int(more), err
}
