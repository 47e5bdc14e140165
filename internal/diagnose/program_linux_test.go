// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// dynamic64 is as much of a program for 64 bits as it takes to see its loader.
func dynamic64(loader string) []byte {
	const end = 64 + 56 // header and one segment
	return assemble(binary.LittleEndian, loader,
		elf.Header64{Ident: ident(elf.ELFCLASS64, elf.ELFDATA2LSB), Machine: uint16(hostMachine()), Phoff: 64, Phentsize: 56, Phnum: 1},
		elf.Prog64{Type: uint32(elf.PT_INTERP), Off: end, Filesz: uint64(len(loader) + 1)})
}

// dynamic32 is the same for 32 bits, of a machine that counts the other way.
func dynamic32(loader string) []byte {
	const end = 52 + 32
	return assemble(binary.BigEndian, loader,
		elf.Header32{Ident: ident(elf.ELFCLASS32, elf.ELFDATA2MSB), Machine: uint16(elf.EM_MIPS), Phoff: 52, Phentsize: 32, Phnum: 1},
		elf.Prog32{Type: uint32(elf.PT_INTERP), Off: end, Filesz: uint32(len(loader) + 1)})
}

func ident(class elf.Class, data elf.Data) (ident [elf.EI_NIDENT]byte) {
	copy(ident[:], elf.ELFMAG)
	ident[elf.EI_CLASS], ident[elf.EI_DATA] = byte(class), byte(data)
	return ident
}

func assemble(order binary.ByteOrder, loader string, parts ...any) []byte {
	var data []byte
	for _, part := range append(parts, []byte(loader+"\x00")) {
		data, _ = binary.Append(data, order, part) // of fixed sizes all
	}
	return data
}

func TestReadProgram(t *testing.T) {
	damaged := func(change func(*elf.Header64, *elf.Prog64)) []byte {
		header := elf.Header64{Ident: ident(elf.ELFCLASS64, elf.ELFDATA2LSB), Machine: uint16(elf.EM_ARM), Phoff: 64, Phentsize: 56, Phnum: 1}
		segment := elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 120, Filesz: 3}
		change(&header, &segment)
		return assemble(binary.LittleEndian, "/x", header, segment)
	}
	arm := program{machine: elf.EM_ARM}
	for _, tc := range []struct {
		name string
		data []byte
		want program
		ok   bool
	}{
		{"64 bits", dynamic64("/lib/ld.so"), program{hostMachine(), "/lib/ld.so"}, true},
		{"32 bits", dynamic32("/lib/ld.so"), program{elf.EM_MIPS, "/lib/ld.so"}, true},
		{"empty", nil, program{}, false},
		{"script", []byte("#!/bin/sh\n"), program{}, false},
		{"header cut off", dynamic64("/x")[:40], program{}, false},
		{"segments cut off", dynamic64("/x")[:100], program{machine: hostMachine()}, true},
		{"loader cut off", dynamic64("/x")[:120], program{machine: hostMachine()}, true},
		{"sound", damaged(func(*elf.Header64, *elf.Prog64) {}), program{elf.EM_ARM, "/x"}, true},
		{"segments elsewhere", damaged(func(h *elf.Header64, _ *elf.Prog64) { h.Phoff = math.MaxUint64 }), arm, true},
		{"loader elsewhere", damaged(func(_ *elf.Header64, s *elf.Prog64) { s.Off = math.MaxUint64 }), arm, true},
		{"endless loader", damaged(func(_ *elf.Header64, s *elf.Prog64) { s.Filesz = math.MaxUint64 }), program{elf.EM_ARM, "/x"}, true},
		{"endless segments", damaged(func(h *elf.Header64, s *elf.Prog64) { h.Phnum, h.Phentsize, s.Type = math.MaxUint16, 0, 0 }), arm, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := readProgram(bytes.NewReader(tc.data))
			assert.Equal(t, ok, tc.ok)
			assert.Equal(t, got, tc.want)
		})
	}
}

func TestReadProgramOfTheLinker(t *testing.T) {
	data := testProgram(t, 0)
	file, err := elf.NewFile(bytes.NewReader(data))
	assert.NilError(t, err)
	want := program{machine: file.Machine}
	if loader := file.Section(".interp"); loader != nil { // with cgo, as for the race detector
		name, err := loader.Data()
		assert.NilError(t, err)
		want.interpreter = strings.TrimRight(string(name), "\x00")
	}
	got, ok := readProgram(bytes.NewReader(data))
	assert.Check(t, ok)
	assert.Equal(t, got, want)
}

func FuzzReadProgram(f *testing.F) {
	f.Add(dynamic64("/lib/ld.so"))
	f.Add(dynamic32("/lib/ld.so"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, ok := readProgram(bytes.NewReader(data))
		if !ok {
			assert.Equal(t, p, program{})
		}
		assert.Check(t, len(p.interpreter) < len(data)+1)
	})
}
