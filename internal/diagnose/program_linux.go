// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"math"

	"golang.org/x/sys/unix"
)

// program holds the parts of an ELF file that the kernel reads before it runs the
// file. debug/elf reads them also, but is not hardened against hostile files, see
// https://pkg.go.dev/debug/elf#hdr-Security.
type program struct {
	machine     elf.Machine
	interpreter string // empty for a static one
}

// maxSegments is more than any linker makes.
const maxSegments = 128

// readProgram returns false for what is not ELF. A file that is damaged
// further on has no interpreter.
func readProgram(file io.ReaderAt) (program, bool) {
	var ident [elf.EI_NIDENT]byte
	if _, err := file.ReadAt(ident[:], 0); err != nil || string(ident[:len(elf.ELFMAG)]) != elf.ELFMAG {
		return program{}, false
	}
	r := elfReader{file: file, order: binary.ByteOrder(binary.LittleEndian)}
	if elf.Data(ident[elf.EI_DATA]) == elf.ELFDATA2MSB {
		r.order = binary.BigEndian
	}
	r.narrow = elf.Class(ident[elf.EI_CLASS]) == elf.ELFCLASS32
	return r.program()
}

type elfReader struct {
	file   io.ReaderAt
	order  binary.ByteOrder
	narrow bool // of 32 bits
}

func (r elfReader) program() (program, bool) {
	header, ok := r.header()
	if !ok {
		return program{}, false
	}
	p := program{machine: elf.Machine(header.Machine)}
	for i := range uint64(min(header.Phnum, maxSegments)) {
		segment, ok := r.segment(header.Phoff + i*uint64(header.Phentsize))
		if !ok {
			break
		}
		if elf.ProgType(segment.Type) == elf.PT_INTERP {
			p.interpreter = r.name(segment.Off, segment.Filesz)
			break
		}
	}
	return p, true
}

// header returns what is needed of the header.
func (r elfReader) header() (wide elf.Header64, ok bool) {
	if !r.narrow {
		ok = r.read(&wide, 0)
		return wide, ok
	}
	var header elf.Header32
	ok = r.read(&header, 0)
	return elf.Header64{Machine: header.Machine, Phoff: uint64(header.Phoff), Phentsize: header.Phentsize, Phnum: header.Phnum}, ok
}

// segment returns what is needed of an entry of the program header table.
func (r elfReader) segment(offset uint64) (wide elf.Prog64, ok bool) {
	if !r.narrow {
		ok = r.read(&wide, offset)
		return wide, ok
	}
	var segment elf.Prog32
	ok = r.read(&segment, offset)
	return elf.Prog64{Type: segment.Type, Off: uint64(segment.Off), Filesz: uint64(segment.Filesz)}, ok
}

// read fills a structure of fixed size from an offset.
func (r elfReader) read(structure any, offset uint64) bool {
	if offset > math.MaxInt64 {
		return false
	}
	section := io.NewSectionReader(r.file, int64(offset), int64(binary.Size(structure)))
	return binary.Read(section, r.order, structure) == nil
}

// name reads a path that ends with a zero byte.
func (r elfReader) name(offset, size uint64) string {
	if offset > math.MaxInt64 {
		return ""
	}
	data := make([]byte, min(size, unix.PathMax))
	n, err := r.file.ReadAt(data, int64(offset))
	if err != nil && err != io.EOF {
		return ""
	}
	name, _, _ := bytes.Cut(data[:n], []byte{0})
	return string(name)
}
