// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/docker/docker/api/types"
)

// Cause returns why the plugin did not start, in words for a user who can
// change it, or "" if no known cause applies. It only looks at the file
// system, which may hang.
func Cause(p Plugin) string {
	for _, find := range []func(Plugin) string{missingSource, badEntrypoint, noexec} {
		if text := find(p); text != "" {
			return text
		}
	}
	return ""
}

func missingSource(p Plugin) string {
	for _, mount := range p.Settings.Mounts {
		if mount.Source == nil || *mount.Source == "" || mount.Type != "bind" {
			continue
		}
		if _, err := os.Stat(*mount.Source); errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf("the source %s of the mount at %s does not exist on this host", *mount.Source, mount.Destination)
		}
	}
	return ""
}

func badEntrypoint(p Plugin) string {
	if len(p.Config.Entrypoint) == 0 {
		return "the config has no entrypoint"
	}
	entrypoint := p.Config.Entrypoint[0]
	candidates, all := candidatesFor(p.Plugin, entrypoint)
	file, info := firstThere(p.OnHost, candidates)
	switch {
	case file == "" && !all:
		return "" // it may be further on
	case file == "":
		return fmt.Sprintf("the entrypoint %s is not in the plugin's rootfs", entrypoint)
	case info.IsDir():
		return fmt.Sprintf("the entrypoint %s is a directory", entrypoint)
	case !info.Mode().IsRegular():
		return fmt.Sprintf("the entrypoint %s is not a file: its mode is %s", entrypoint, info.Mode())
	case info.Mode()&0o111 == 0:
		return fmt.Sprintf("the entrypoint %s is not executable: its mode is %s", entrypoint, info.Mode())
	}
	return badProgram(p, entrypoint, file)
}

// maxCandidates is how many directories of a PATH are searched. A hint is not
// worth more, and a plugin's author can write a PATH of 60,000.
const maxCandidates = 32

// candidatesFor returns where the runtime looks for a command, in its order: a
// bare name on the path of the plugin's environment, another one below its
// working directory. It reports whether these are all places.
func candidatesFor(snapshot types.Plugin, command string) (candidates []string, all bool) {
	dirs, all := []string{""}, true
	if !strings.Contains(command, "/") {
		dirs = strings.SplitN(searchPath(snapshot.Settings.Env), ":", maxCandidates+1)
		if len(dirs) > maxCandidates {
			dirs, all = dirs[:maxCandidates], false
		}
	}
	for _, dir := range dirs {
		candidate := path.Join(dir, command)
		if !path.IsAbs(candidate) {
			candidate = path.Join("/", snapshot.Config.WorkDir, candidate)
		}
		candidates = append(candidates, candidate)
	}
	return candidates, all
}

// firstThere returns the first of candidates that exists, by its place on the
// host.
func firstThere(onHost func(string) string, candidates []string) (string, os.FileInfo) {
	for _, candidate := range candidates {
		file := onHost(candidate)
		if info, err := os.Stat(file); err == nil {
			return file, info
		}
	}
	return "", nil
}

func searchPath(env []string) string {
	found := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			found = value
		}
	}
	return found
}

// badProgram returns why the kernel refuses to run a file that exists.
func badProgram(p Plugin, entrypoint, file string) string {
	opened, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer opened.Close()
	binary, ok := readProgram(opened)
	if !ok {
		return badScript(p, entrypoint, opened)
	}
	if host := hostMachine(); host != elf.EM_NONE && binary.machine != host {
		return fmt.Sprintf("the entrypoint %s is built for %s, this host is %s", entrypoint, binary.machine, runtime.GOARCH)
	}
	if binary.interpreter == "" {
		return ""
	}
	return missingInterpreter(p, entrypoint, binary.interpreter)
}

// byteOrderMark is what some editors put before the text, in UTF-8.
const byteOrderMark = "\xef\xbb\xbf"

// badScript returns why the kernel refuses to run a file that is not an ELF
// program. The kernel takes the first line unchanged, up to the newline, see
// https://man7.org/linux/man-pages/man2/execve.2.html.
func badScript(p Plugin, entrypoint string, script io.Reader) string {
	first, _ := bufio.NewReader(script).Peek(256)
	text, marked := strings.CutPrefix(string(first), byteOrderMark)
	line, isScript := strings.CutPrefix(text, "#!")
	line, _, _ = strings.Cut(line, "\n")
	switch {
	case !isScript:
		return fmt.Sprintf("the entrypoint %s is neither a program for Linux nor a script that begins with #!", entrypoint)
	case marked:
		return fmt.Sprintf("the entrypoint %s begins with a byte order mark: save it as UTF-8 without one", entrypoint)
	case strings.HasSuffix(line, "\r"):
		return fmt.Sprintf("the entrypoint %s has the line ends of Windows (CRLF), which become part of its interpreter's name: convert it, as with dos2unix", entrypoint)
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		return fmt.Sprintf("the entrypoint %s names no interpreter after #!", entrypoint)
	}
	return missingInterpreter(p, entrypoint, words[0])
}

func missingInterpreter(p Plugin, entrypoint, interpreter string) string {
	if _, err := os.Stat(p.OnHost(interpreter)); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return fmt.Sprintf("the entrypoint %s needs %s, which is not in the plugin's rootfs", entrypoint, interpreter)
}

func hostMachine() elf.Machine {
	switch runtime.GOARCH {
	case "amd64":
		return elf.EM_X86_64
	case "arm64":
		return elf.EM_AARCH64
	case "arm":
		return elf.EM_ARM
	case "386":
		return elf.EM_386
	case "ppc64le":
		return elf.EM_PPC64
	case "s390x":
		return elf.EM_S390
	case "riscv64":
		return elf.EM_RISCV
	}
	return elf.EM_NONE
}

func noexec(p Plugin) string {
	var info unix.Statfs_t
	if err := unix.Statfs(p.Rootfs, &info); err == nil && info.Flags&unix.ST_NOEXEC != 0 {
		return fmt.Sprintf("the plugin's rootfs is on a file system that is mounted noexec: %s", p.Rootfs)
	}
	return ""
}
