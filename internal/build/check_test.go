// SPDX-License-Identifier: Apache-2.0

package build

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/imagefile/imagefiletest"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

// program64 is an ELF file of 64 bits with a loader, or without one.
func program64(t testing.TB, machine elf.Machine, loader string) string {
	t.Helper()
	header := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Phoff: 64, Phentsize: 56}
	copy(header.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	var parts []elf.Prog64
	if loader != "" {
		parts = []elf.Prog64{{Type: uint32(elf.PT_LOAD)}, {Type: uint32(elf.PT_INTERP), Off: 64 + 2*56, Filesz: uint64(len(loader) + 1)}}
	}
	header.Phnum = uint16(len(parts))
	return encodeELF(t, binary.LittleEndian, header, parts, loader)
}

// program32 is an ELF file of 32 bits, with the bytes of s390.
func program32(t testing.TB, machine elf.Machine, loader string) string {
	t.Helper()
	header := elf.Header32{Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Phoff: 52, Phentsize: 32, Phnum: 1}
	copy(header.Ident[:], elf.ELFMAG+"\x01\x02\x01")
	return encodeELF(t, binary.BigEndian, header, []elf.Prog32{{Type: uint32(elf.PT_INTERP), Off: 52 + 32, Filesz: uint32(len(loader) + 1)}}, loader)
}

func encodeELF(t testing.TB, order binary.ByteOrder, header, parts any, loader string) string {
	t.Helper()
	var file bytes.Buffer
	assert.NilError(t, binary.Write(&file, order, header))
	assert.NilError(t, binary.Write(&file, order, parts))
	file.WriteString(loader + "\x00")
	return file.String()
}

// layers of a rootfs, lowest first.
type layers [][]imagefiletest.Entry

func (l layers) build(t testing.TB, config string, platform ocispec.Platform) []string {
	t.Helper()
	img := imagefiletest.Image{Platform: platform}
	for _, entries := range l {
		img.Layers = append(img.Layers, imagefiletest.Tar(t, entries...))
	}
	return build(t, Options{Config: []byte(config)}, Source{Path: img.Docker(t).WriteArchive(t)}).Warnings
}

func TestWarnings(t *testing.T) {
	file, dir, link := imagefiletest.File, imagefiletest.Directory, imagefiletest.Symlink
	static, dynamic := program64(t, elf.EM_X86_64, ""), program64(t, elf.EM_X86_64, "/lib64/ld.so")
	owned := func(e imagefiletest.Entry, uid int) imagefiletest.Entry { e.Uid = uid; return e }
	for _, tt := range []struct {
		name   string
		layers layers
		more   string // members of the config
		want   string // the only warning, or none
	}{
		{"static program", layers{{file("plugin", static, 0o755)}}, "", ""},
		{"no entrypoint", layers{{file("other", static, 0o755)}}, "", `entrypoint "/plugin" is not in the rootfs`},
		{"not executable", layers{{file("plugin", static, 0o644)}}, "", "entrypoint /plugin is not executable"},
		{"a directory", layers{{dir("plugin", 0o755)}}, "", "entrypoint /plugin is not a regular file"},
		{"no loader", layers{{file("plugin", dynamic, 0o755)}}, "", "its loader /lib64/ld.so is not in the rootfs"},
		{"loader", layers{{file("plugin", dynamic, 0o755), file("lib64/ld.so", static, 0o755)}}, "", ""},
		{"loader by a link", layers{{file("plugin", dynamic, 0o755), link("lib64", "usr/lib"), file("usr/lib/ld.so", static, 0o755)}}, "", ""},
		{"loader by a link upwards", layers{{file("plugin", dynamic, 0o755), dir("a", 0o755), link("a/l", "../b"), link("lib64", "/a/l"), file("b/ld.so", static, 0o755)}}, "", ""},
		{"loader through a link of a lower layer", layers{{dir("usr", 0o755), dir("usr/lib", 0o755), link("lib64", "usr/lib")}, {file("plugin", dynamic, 0o755), file("lib64/ld.so", static, 0o755)}}, "", ""},
		{"loader in a circle", layers{{file("plugin", dynamic, 0o755), link("lib64", "lib64")}}, "", "its loader /lib64/ld.so is not in the rootfs"},
		{"loader of a lower layer", layers{{file("lib64/ld.so", static, 0o755)}, {file("plugin", dynamic, 0o755)}}, "", ""},
		{"loader removed", layers{{file("lib64/ld.so", static, 0o755)}, {file("plugin", dynamic, 0o755), file("lib64/.wh.ld.so", "", 0)}}, "", "its loader /lib64/ld.so"},
		{"directory of the loader hidden", layers{{file("lib64/ld.so", static, 0o755)}, {file("plugin", dynamic, 0o755), file("lib64/x", "", 0o644), file("lib64/.wh..wh..opq", "", 0)}}, "", "its loader /lib64/ld.so"},
		{"loader in a hidden directory's own layer", layers{{file("lib64/x", "", 0o755)}, {file("plugin", dynamic, 0o755), file("lib64/ld.so", static, 0o755), file("lib64/.wh..wh..opq", "", 0)}}, "", ""},
		{"loader is not executable", layers{{file("plugin", dynamic, 0o755), file("lib64/ld.so", static, 0o644)}}, "", "interpreter /lib64/ld.so is not executable"},
		{"hard link", layers{{file("bin/real", static, 0o755), {Header: tar.Header{Name: "plugin", Typeflag: tar.TypeLink, Linkname: "bin/real"}}}}, "", ""},
		{"script", layers{{file("plugin", "#! /bin/sh -e\n", 0o755)}}, "", "its interpreter /bin/sh is not in the rootfs"},
		{"script with a relative interpreter", layers{{file("plugin", "#!sh\n", 0o755)}}, "", "not an absolute path"},
		{"other machine", layers{{file("plugin", program64(t, elf.EM_AARCH64, ""), 0o755)}}, "", "is a program for EM_AARCH64, and the platform is linux/amd64"},
		{"32 bits of the machine", layers{{file("plugin", program64(t, elf.EM_386, ""), 0o755)}}, "", ""},
		{"by PATH", layers{{file("usr/bin/plugin", static, 0o755)}}, `"entrypoint":["plugin"]`, ""},
		{"by the PATH of the config", layers{{file("opt/plugin", static, 0o755)}}, `"entrypoint":["plugin"],"env":[{"name":"PATH","value":"/opt"}]`, ""},
		{"not by PATH", layers{{file("opt/plugin", static, 0o755)}}, `"entrypoint":["plugin"]`, `entrypoint "plugin" is not in the rootfs`},
		{"by the working directory", layers{{file("opt/plugin", static, 0o755)}}, `"entrypoint":["./plugin"],"workdir":"/opt"`, ""},
		{"no working directory", layers{{file("plugin", static, 0o755)}}, `"workdir":"/opt"`, ""},
		{"working directory is a file", layers{{file("plugin", static, 0o755)}}, `"workdir":"/plugin"`, "workdir /plugin is not a directory"},
		{"socket directory is a file", layers{{file("plugin", static, 0o755), file("run/docker", "", 0o644)}}, "", "socket directory /run/docker/plugins can't be a directory: /run/docker is a file"},
		{"socket directory by a link", layers{{file("plugin", static, 0o755), link("run", "var/run"), dir("var", 0o755), dir("var/run", 0o755)}}, "", ""},
		{"propagated mount is a file", layers{{file("plugin", static, 0o755)}}, `"propagatedmount":"/plugin/x"`, "propagatedMount /plugin/x can't be a directory: /plugin is a file"},
		{"root only", layers{{file("plugin", static, 0o700)}}, `"user":{"uid":5,"gid":6}`, "entrypoint /plugin is not accessible to user 5 with group 6"},
		{"own file", layers{{owned(file("plugin", static, 0o700), 5)}}, `"user":{"uid":5,"gid":6}`, ""},
		{"directory for root only", layers{{dir("opt", 0o700), file("opt/plugin", static, 0o755)}}, `"entrypoint":["/opt/plugin"],"user":{"uid":5}`, "entrypoint /opt/plugin is not accessible to user 5"},
		{"working directory for root only", layers{{file("plugin", static, 0o755), dir("opt", 0o700)}}, `"workdir":"/opt","user":{"uid":5}`, "workdir /opt is not accessible to user 5"},
		{"loader for root only", layers{{file("plugin", dynamic, 0o755), file("lib64/ld.so", static, 0o700)}}, `"user":{"uid":5}`, "interpreter /lib64/ld.so is not accessible"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			members := strings.TrimSuffix(`"entrypoint":["/plugin"],"interface":{"types":["docker.volumedriver/1.0"],"socket":"p.sock"},"network":{"type":"none"},`+tt.more, ",")
			if strings.Contains(tt.more, "entrypoint") {
				members = strings.Replace(members, `"entrypoint":["/plugin"],`, "", 1)
			}
			warnings := tt.layers.build(t, "{"+members+"}", amd64)
			if tt.want == "" {
				assert.Equal(t, len(warnings), 0, "%v", warnings)
				return
			}
			assert.Equal(t, len(warnings), 1, "%v", warnings)
			assert.Check(t, strings.Contains(warnings[0], tt.want), warnings[0])
		})
	}
}

func TestPrograms(t *testing.T) {
	assert.Equal(t, *parseProgram([]byte(program32(t, elf.EM_S390, "/lib/ld.so"))), program{machine: elf.EM_S390, loader: "/lib/ld.so", isELF: true})
	self, err := os.Open("/proc/self/exe")
	assert.NilError(t, err)
	defer self.Close()
	p, err := readProgram(self)
	assert.NilError(t, err)
	assert.Check(t, p.isELF)
	assert.Check(t, parseProgram([]byte("text")) == nil)
	assert.Check(t, parseProgram([]byte("#!\n")) == nil)
}

// FuzzProgram parses no bytes outside of those it has.
func FuzzProgram(f *testing.F) {
	f.Add([]byte(program64(f, elf.EM_X86_64, "/lib64/ld.so")))
	f.Add([]byte(program32(f, elf.EM_S390, "/lib/ld.so")))
	f.Add([]byte("#!/bin/sh\n"))
	f.Fuzz(func(t *testing.T, start []byte) {
		p := parseProgram(start)
		assert.Check(t, p == nil || bytes.Contains(start, []byte(p.loader)))
	})
}

// A tree of many names gives up instead of taking memory, and a plugin is built all
// the same.
func TestTreeIsBounded(t *testing.T) {
	tree := newTree()
	tree.limit = 1 << 20
	long := strings.Repeat("n", 250)
	for i := 0; !tree.isPartial; i++ {
		assert.Check(t, i < 1<<20/nodeBytes)
		e := rootfs.Entry{Header: &tar.Header{Name: fmt.Sprint(long, i), Typeflag: tar.TypeDir}}
		assert.NilError(t, tree.add(e))
	}
	assert.Equal(t, len(tree.root.children), 0)
	deep := newTree()
	assert.NilError(t, deep.add(rootfs.Entry{Header: &tar.Header{Name: strings.Repeat("d/", maxTreeDepth+2), Typeflag: tar.TypeDir}}))
	assert.Check(t, deep.isPartial)
}

// FuzzTree adds any entries, and looks any path up.
func FuzzTree(f *testing.F) {
	f.Add([]byte("a"), []byte("b"), []byte("a/../b"))
	f.Add([]byte("a/b"), []byte(".wh..wh..opq"), []byte("/a/b"))
	f.Fuzz(func(t *testing.T, name, target, path []byte) {
		tree := newTree()
		for layer := range 2 {
			tree.beginLayer()
			for _, kind := range []byte{tar.TypeSymlink, tar.TypeDir, tar.TypeLink, tar.TypeFifo} {
				for _, header := range []*tar.Header{{Name: string(name), Linkname: string(target)}, {Name: string(target), Linkname: string(path)}} {
					header.Typeflag, header.Mode = kind, int64(layer)
					assert.NilError(t, tree.add(rootfs.Entry{Header: header}))
				}
			}
		}
		_ = tree.find(string(path))
		assert.Check(t, tree.find("/") == tree.root)
	})
}
