// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"strings"
)

// program is what the beginning of an executable file says about it.
type program struct {
	// machine is the machine of an ELF file; EM_NONE for any other.
	machine elf.Machine
	// loader is the dynamic loader of an ELF file, or the interpreter of a script;
	// empty if there is none.
	loader string
	isELF  bool
}

const (
	// programBytes are read of an executable file. Linkers put the program headers and
	// the name of the loader at the beginning.
	programBytes = 16 << 10
	// maxHeaders is above the number of program headers of any real file.
	maxHeaders = 128
)

// readProgram reads the beginning of an executable file. Nil means that it is neither
// ELF nor a script.
func readProgram(content io.Reader) (*program, error) {
	start := make([]byte, programBytes)
	n, err := io.ReadFull(content, start)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	return parseProgram(start[:n]), nil
}

func parseProgram(start []byte) *program {
	if line, ok := bytes.CutPrefix(start, []byte("#!")); ok {
		return parseScript(line)
	}
	if !bytes.HasPrefix(start, []byte(elf.ELFMAG)) || len(start) < elf.EI_NIDENT {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(start[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	if elf.Class(start[elf.EI_CLASS]) == elf.ELFCLASS32 {
		return parse32(start, order)
	}
	return parse64(start, order)
}

// parseScript returns the interpreter of a script:
// https://man7.org/linux/man-pages/man2/execve.2.html
func parseScript(line []byte) *program {
	const maxLine = 256
	line = line[:min(len(line), maxLine)]
	line, _, _ = bytes.Cut(line, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) == 0 {
		return nil
	}
	return &program{loader: fields[0]}
}

func parse64(start []byte, order binary.ByteOrder) *program {
	var header elf.Header64
	if binary.Read(bytes.NewReader(start), order, &header) != nil {
		return nil
	}
	p := &program{isELF: true, machine: elf.Machine(header.Machine)}
	for i := range min(header.Phnum, maxHeaders) {
		var part elf.Prog64
		at := part64(header.Phoff, uint64(i), uint64(header.Phentsize))
		if !readAt(start, at, order, &part) {
			return p
		}
		if elf.ProgType(part.Type) == elf.PT_INTERP {
			p.loader = textAt(start, part.Off, part.Filesz)
		}
	}
	return p
}

func parse32(start []byte, order binary.ByteOrder) *program {
	var header elf.Header32
	if binary.Read(bytes.NewReader(start), order, &header) != nil {
		return nil
	}
	p := &program{isELF: true, machine: elf.Machine(header.Machine)}
	for i := range min(header.Phnum, maxHeaders) {
		var part elf.Prog32
		at := part64(uint64(header.Phoff), uint64(i), uint64(header.Phentsize))
		if !readAt(start, at, order, &part) {
			return p
		}
		if elf.ProgType(part.Type) == elf.PT_INTERP {
			p.loader = textAt(start, uint64(part.Off), uint64(part.Filesz))
		}
	}
	return p
}

// part64 returns the position of a program header. Headers that can't be in the file
// are beyond what is read.
func part64(first, number, size uint64) uint64 {
	if first > programBytes {
		return programBytes
	}
	return first + number*size
}

func readAt(start []byte, at uint64, order binary.ByteOrder, into any) bool {
	if at >= uint64(len(start)) {
		return false
	}
	return binary.Read(bytes.NewReader(start[at:]), order, into) == nil
}

// textAt returns a text that ends with a zero byte, or nothing if it is beyond what
// was read.
func textAt(start []byte, at, size uint64) string {
	if at >= uint64(len(start)) || size > uint64(len(start))-at {
		return ""
	}
	text, _, _ := bytes.Cut(start[at:at+size], []byte{0})
	return string(text)
}
