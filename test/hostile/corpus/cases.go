// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"archive/tar"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
)

// Cases is the corpus.
var Cases = []Case{
	{Name: "many files", Layers: layers(repeat(20_000, func(a *Archive, i int) { a.File(fmt.Sprint(i), "") }))},
	{Name: "many directories", Layers: layers(repeat(15_000, func(a *Archive, i int) { a.Folder(fmt.Sprint(i)) }))},
	{Name: "directories with attributes", Layers: layers(repeat(4000, func(a *Archive, i int) {
		records := map[string]string{"comment": strings.Repeat("c", 30<<10)}
		a.Add(tar.Header{Typeflag: tar.TypeDir, Name: fmt.Sprintf("%d/", i), Mode: 0o755, PAXRecords: records}, "")
	}))},
	{Name: "ordinary headers", Layers: layers(repeat(6000, func(a *Archive, i int) {
		records := map[string]string{"comment": strings.Repeat("c", 7<<10)}
		a.Add(tar.Header{Typeflag: tar.TypeDir, Name: fmt.Sprintf("%d/", i), Mode: 0o755, PAXRecords: records}, "")
	}))},
	{Name: "long names", Layers: layers(repeat(5000, func(a *Archive, i int) {
		a.Folder(strings.Repeat(strings.Repeat("n", 250)+"/", 14) + fmt.Sprint(i))
	}))},
	{Name: "names above other layers", Layers: layers(
		func(a *Archive) { a.File("below", "") },
		repeat(20_000, func(a *Archive, i int) { a.File(fmt.Sprint(strings.Repeat("n", 240), i), "") }),
	)},
	{Name: "names padded by dots", Layers: layers(repeat(200, func(a *Archive, i int) {
		a.File(fmt.Sprint("d", i, "/f", strings.Repeat("/.", 400<<10)), "")
	}))},
	{Name: "opaque marks", Layers: layers(opaqueLower, opaqueUpper)},
	{Name: "opaque mark again and again", Layers: layers(
		repeat(5000, func(a *Archive, i int) { a.File(fmt.Sprint("d/", i), "") }),
		func(a *Archive) {
			repeat(5000, func(a *Archive, i int) { a.File(fmt.Sprint("d/own", i), "") })(a)
			repeat(20_000, func(a *Archive, _ int) { a.File("d/.wh..wh..opq", "") })(a)
		},
	)},
	{Name: "chains of links", Layers: layers(chains)},
	{Name: "names through a link", Layers: layers(func(a *Archive) {
		a.Folder("d")
		a.Link("l", strings.Repeat("d/../", 810))
		repeat(5000, func(a *Archive, i int) { a.File(fmt.Sprintf("l/%d/f", i), "") })(a)
	})},
	{Name: "deep names", Layers: layers(repeat(2000, func(a *Archive, i int) {
		a.File(strings.Repeat("d/", 1900)+fmt.Sprintf("%d/f", i), "")
	}))},
	{Name: "deeper than any path", Layers: layers(func(a *Archive) {
		deep := strings.Repeat("d/", 1900)
		a.Folder(deep)
		a.Link("l", deep)
		a.File("l/"+deep+"x", "")
	})},
	{Name: "deep tree removed", Layers: layers(
		func(a *Archive) { a.Folder(strings.Repeat("d/", 1900)) },
		func(a *Archive) { a.File(".wh.d", "") },
	)},
	{Name: "hard links", Layers: layers(func(a *Archive) {
		a.File("f", "")
		repeat(30_000, func(a *Archive, i int) {
			a.Add(tar.Header{Typeflag: tar.TypeLink, Name: fmt.Sprint(i), Linkname: "f"}, "")
		})(a)
	})},
	{Name: "sparse files", Layers: layers(repeat(4, func(a *Archive, i int) { sparse(a, fmt.Sprint(i), 3<<30) }))},
	{Name: "sparse files of the older format", Layers: layers(repeat(3000, func(a *Archive, i int) { oldSparse(a, fmt.Sprint(i), 1<<30) }))},
	{Name: "fragments of sparse files", Layers: layers(func(a *Archive) { fragments(a, "f", 40_000, 128<<10) })},
	{Name: "attributes of ordinary headers", Window: 8 << 20, Layers: layers(repeat(30_000, func(a *Archive, _ int) {
		records := map[string]string{}
		for r := range 100 {
			records[fmt.Sprintf("SCHILY.xattr.user.%d", r)] = "v"
		}
		a.Add(tar.Header{Typeflag: tar.TypeReg, Name: "f", Mode: 0o644, PAXRecords: records}, "")
	}))},
	{Name: "records of unknown keys", Window: 8 << 20, Layers: layers(repeat(60_000, func(a *Archive, _ int) {
		a.Raw(extendedHeader(unknownRecords))
		a.File("f", "")
	}))},
	{Name: "one large attribute list", Layers: layers(repeat(20, func(a *Archive, i int) {
		records := map[string]string{}
		for r := range 20_000 {
			records[fmt.Sprintf("SCHILY.xattr.user.%d", r)] = "v"
		}
		a.Add(tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(i), Mode: 0o644, PAXRecords: records}, "")
	}))},
	{Name: "headers of nothing", Layers: layers(func(a *Archive) {
		block := extendedHeader("20 comment=xxxxxxxx\n")
		for range 400 {
			a.Raw(slices.Repeat(block, 500))
		}
	})},
	{Name: "one file again and again", Window: 8 << 20, Layers: layers(repeat(many, func(a *Archive, _ int) { a.File("f", "") }))},
	{Name: "one link again and again", Window: 8 << 20, Layers: layers(repeat(many, func(a *Archive, _ int) { a.Link("l", "f") }))},
	{Name: "one directory again and again", Window: 8 << 20, Layers: layers(repeat(many, func(a *Archive, _ int) { a.Folder("d") }))},
	{Name: "file and directory in turn", Window: 8 << 20, Layers: layers(repeat(many/2, func(a *Archive, _ int) {
		a.Folder("d")
		a.File("d", "")
	}))},
	{Name: "file and whiteout in turn", Window: 8 << 20, Layers: layers(repeat(many/2, func(a *Archive, _ int) {
		a.File("f", "")
		a.File(".wh.f", "")
	}))},
	{Name: "full directory and whiteout in turn", Window: 8 << 20, Layers: layers(repeat(many/1000, func(a *Archive, _ int) {
		repeat(999, func(a *Archive, i int) { a.File(fmt.Sprint("d/", i), "") })(a)
		a.File(".wh.d", "")
	}))},
	{Name: "one file again and again, padded", Window: 8 << 20, Layers: layers(func(a *Archive) {
		a.File("padding", noise(1_900_000))
		repeat(many, func(a *Archive, _ int) { a.File("f", "") })(a)
	})},
	{Name: "zeros", Layers: layers(func(a *Archive) { a.File("zeros", strings.Repeat("\x00", 300<<20)) })},
	{Name: "zeros in many layers", Window: 8 << 20, Repeat: 30, Layers: layers(repeat(3, func(a *Archive, i int) {
		a.File(fmt.Sprint("zeros", i), strings.Repeat("\x00", 300<<20))
	}))},
	{Name: "large windows", Window: 128 << 20, Layers: layers(window, window, window, window, window, window)},
	{Name: "many layers", Repeat: 900, Layers: layers(func(a *Archive) { a.File("f", "") })},
	{Name: "many layers above a long one", Layers: slices.Concat(layers(manyFiles), slices.Repeat(layers(func(a *Archive) { a.File("f", "") }), 990))},
	{Name: "one layer again and again", Repeat: 900, Window: 8 << 20, Layers: layers(func(a *Archive) {
		a.File("padding", noise(8<<10)) // the layer named once stays within Limits.EntryRatio
		repeat(1000, func(a *Archive, i int) { a.File(fmt.Sprint("d/", i), "") })(a)
	})},
	{Name: "one layer of a large window again and again", Repeat: 900, Window: 8 << 20, Layers: layers(func(a *Archive) {
		a.File("d/padding", strings.Repeat("\x00", 512<<10))
		repeat(30, func(a *Archive, i int) { a.File(fmt.Sprint("d/", i), "") })(a)
	})},
	{Name: "layers beyond number", Repeat: 10_000, Layers: layers(func(a *Archive) { a.File("f", "") })},
	{Name: "large headers of different records ahead", Window: 8 << 20, Layers: layers(manyFiles, largeRecords, largeRecords)},
	{Name: "ordinary headers of different records ahead", Window: 8 << 20, Layers: layers(manyFiles, ordinaryRecords, ordinaryRecords)},
	{Name: "config of many problems", Raw: problems},
	{Name: "config of a long list", Raw: func() []byte {
		return fill(`{"mounts":[`, `{"source":"\u001b","destination":"","type":"devtmpfs"},`, `{}]}`)
	}},
	{Name: "config of many keys", Raw: func() []byte { return fill(`{`, `"entrypoint":7,`, `"x":0}`) }},
	{Name: "config too deep to read", Raw: func() []byte { return fill(`{"args":`, `[`, ``) }},
	{Name: "config of deep lists", Raw: func() []byte {
		return fill(`{"x":[`, strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`,`, `0]}`)
	}},
	{Name: "config of deep objects", Raw: func() []byte {
		return fill(`{"x":[`, strings.Repeat(`{"interface":`, 9000)+"0"+strings.Repeat("}", 9000)+`,`, `0]}`)
	}},
	{Name: "many settings", Config: func(c *types.PluginConfig) { c.Env = settable(4000) }, Args: func() []string {
		return slices.Repeat([]string{"V3999=x"}, 2_000)
	}},
	{Name: "one long setting", Config: func(c *types.PluginConfig) { c.Env = settable(1) }, Args: func() []string {
		return []string{"V0=" + strings.Repeat("v", 1<<20)}
	}},
	{Name: "settings of no name", Config: func(c *types.PluginConfig) { c.Env = settable(1) }, Args: func() []string {
		return slices.Repeat([]string{strings.Repeat("n", 100) + "=x"}, 10_000)
	}},
}

// many is near the entries that a plugin can have by default.
const many = 1_000_000

// noise returns bytes that do not compress, the same ones each time.
func noise(count int) string {
	data := make([]byte, count)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // it never fails
	return string(data)
}

// fill repeats part between start and end, up to the size that a config can have.
func fill(start, part, end string) []byte {
	const configBytes = 1 << 20
	return []byte(start + strings.Repeat(part, (configBytes-len(start)-len(end))/len(part)) + end)
}

// problems returns a config of invalid entries. Each list has as many as a list
// can have, so that all are decoded and checked.
func problems() []byte {
	const entries = 4096
	list := func(entry string) string {
		return "[" + strings.Repeat(entry+",", entries-1) + entry + "]"
	}
	const text = `"\u001b"`
	return fmt.Appendf(nil, `{"mounts":%s,"env":%s,"entrypoint":%s,"linux":{"devices":%s,"capabilities":%s}}`,
		list(`{"source":"\u001b","destination":"","type":"devtmpfs"}`),
		list(`{"name":"\u001b","description":"\u001b","settable":["\u001b"]}`),
		list(text),
		list(`{"name":"\u001b","path":"\u001b","settable":["\u001b"]}`),
		list(text))
}

func layers(fill ...func(*Archive)) []func(*Archive) { return fill }

func repeat(count int, add func(a *Archive, i int)) func(*Archive) {
	return func(a *Archive) {
		for i := range count {
			add(a, i)
		}
	}
}

const opaqueDepth = 600

// opaqueLower nests directories with a few files in each.
func opaqueLower(a *Archive) {
	name := ""
	for range opaqueDepth {
		name += "d/"
		for i := range 10 {
			a.File(fmt.Sprint(name, "lower", i), "")
		}
	}
}

// opaqueUpper hides them from the innermost outwards, with its own files in
// each.
func opaqueUpper(a *Archive) {
	for depth := opaqueDepth; depth > 0; depth-- {
		name := strings.Repeat("d/", depth)
		for i := range 10 {
			a.File(fmt.Sprint(name, "own", i), "")
		}
		a.File(name+".wh..wh..opq", "")
	}
}

// chains adds chains of symbolic links, as long as the kernel follows, with
// targets as long as a page.
func chains(a *Archive) {
	const links = 39
	a.Folder("d")
	for i := range links {
		a.Link(fmt.Sprint("l", i), strings.Repeat("d/../", 800)+fmt.Sprint("l", i+1))
	}
	a.Link(fmt.Sprint("l", links), "d")
	for i := range 2000 {
		a.File(fmt.Sprintf("l0/%d/f", i), "")
	}
}

// sparse adds a file of a few bytes in the PAX form of GNU tar.
func sparse(a *Archive, name string, size int64) {
	gnuSparse(a, name, size, fmt.Sprintf("1\n%d\n0\n", size), "")
}

// oldSparse adds a file of size zeros in the older form of GNU tar.
func oldSparse(a *Archive, name string, size int64) {
	header := make([]byte, 512)
	copy(header, a.prefix+name)
	copy(header[100:], "0000644\x00")
	copy(header[124:], fmt.Sprintf("%011o\x00", 0))
	copy(header[148:], "        ")
	header[156] = tar.TypeGNUSparse
	copy(header[257:], "ustar  \x00")
	copy(header[483:], fmt.Sprintf("%011o\x00", size))
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
	a.Raw(header)
}

// fragments adds a sparse file of single bytes at the distance apart.
func fragments(a *Archive, name string, count, apart int) {
	var list strings.Builder
	fmt.Fprintf(&list, "%d\n", count)
	for i := range count {
		fmt.Fprintf(&list, "%d\n1\n", i*apart)
	}
	gnuSparse(a, name, int64((count-1)*apart+1), list.String(), strings.Repeat("x", count))
}

func gnuSparse(a *Archive, name string, size int64, list, data string) {
	records := ""
	for _, pair := range [][2]string{
		{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"},
		{"GNU.sparse.name", a.prefix + name}, {"GNU.sparse.realsize", fmt.Sprint(size)},
	} {
		records += record(pair[0], pair[1])
	}
	a.Raw(extendedHeader(records))
	a.File("GNUSparseFile.0/"+name, list+strings.Repeat("\x00", (512-len(list)%512)%512)+data)
}

// unknownRecords are as many records as an ordinary header can hold.
var unknownRecords = strings.Repeat("7 aa=b\n", 6<<10/7)

// record returns a record of an extended header, see
// https://man7.org/linux/man-pages/man1/pax.1p.html.
func record(key, value string) string {
	size := len(key) + len(value) + 3
	line := fmt.Sprintf("%d %s=%s\n", size+len(fmt.Sprint(size)), key, value)
	if declared := len(line); !strings.HasPrefix(line, fmt.Sprint(declared)+" ") {
		line = fmt.Sprintf("%d %s=%s\n", declared, key, value)
	}
	return line
}

func extendedHeader(records string) []byte {
	header := make([]byte, 512)
	copy(header, "x")
	copy(header[100:], "0000644\x00")
	copy(header[124:], fmt.Sprintf("%011o\x00", len(records)))
	header[156] = 'x'
	copy(header[257:], "ustar\x0000")
	copy(header[148:], "        ")
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
	block := append(slices.Clone(header), records...)
	return append(block, make([]byte, (512-len(records)%512)%512)...)
}

// window needs a large window, if the compressor is set so.
func window(a *Archive) { a.File("large", strings.Repeat("0123456789abcdef", 10<<20/16)) }

func settable(count int) []types.PluginEnv {
	env := make([]types.PluginEnv, count)
	for i := range env {
		value := ""
		env[i] = types.PluginEnv{Name: fmt.Sprint("V", i), Value: &value, Settable: []string{"value"}}
	}
	return env
}

// manyFiles takes long to unpack, so that later layers are read ahead of their turn.
func manyFiles(a *Archive) { repeat(25_000, func(a *Archive, i int) { a.File(fmt.Sprint(i), "") })(a) }

// differentRecords are records of 7 bytes with different keys, which take many times
// as much once they are parsed.
func differentRecords(bytes int) string {
	const digits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	var records strings.Builder
	for i := 0; records.Len() < bytes-9; i++ {
		records.WriteString("7 " + string([]byte{digits[i%62], digits[i/62%62], digits[i/62/62%62]}) + "=\n")
	}
	return records.String()
}

func largeRecords(a *Archive) { withRecords(a, 7, differentRecords(1<<20)) }

func ordinaryRecords(a *Archive) { withRecords(a, 3000, differentRecords(7<<10)) }

func withRecords(a *Archive, files int, records string) {
	header := extendedHeader(records)
	for i := range files {
		a.Raw(header)
		a.File(fmt.Sprint("x", i), "")
	}
}
