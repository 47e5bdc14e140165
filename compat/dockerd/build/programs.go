// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
)

// check fails unless the tree's programs are static and linked with cgo.
func (t tree) check() error {
	for _, name := range programs {
		if err := checkProgram(t.program(name)); err != nil {
			return fmt.Errorf("%s: %w", t.program(name), err)
		}
	}
	return nil
}

func checkProgram(path string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return linkage(info.Settings, file.Progs)
}

// linkage is the error for a program that is dynamic or lacks cgo.
func linkage(settings []debug.BuildSetting, segments []*elf.Prog) error {
	if !slices.Contains(settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "1"}) {
		return errors.New("it is built without cgo")
	}
	if slices.ContainsFunc(segments, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return errors.New("it is not static: it names a dynamic linker")
	}
	return nil
}

// again builds below another directory, and fails unless the programs have the
// same bytes.
func again(ctx context.Context, version, directory, repository string) error {
	second := directory + "-again"
	if err := run(ctx, version, second, repository); err != nil {
		return err
	}
	for _, which := range []string{"stock", "dovetail"} {
		for _, name := range programs {
			program := filepath.Join(version, which+"-bin", name)
			was, err := sum(filepath.Join(directory, program))
			if err != nil {
				return err
			}
			is, err := sum(filepath.Join(second, program))
			if err != nil {
				return err
			}
			if was != is {
				return fmt.Errorf("%s: sha256 %s in %s, and %s in %s", program, was, directory, is, second)
			}
			fmt.Printf("built twice with sha256 %s: %s\n", is, program)
		}
	}
	return os.RemoveAll(second)
}

// sum returns the sha256 of a file, in hexadecimal digits.
func sum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}
