// SPDX-License-Identifier: Apache-2.0

// Command build builds dockerd and docker-proxy twice from the Go module of
// docker: as docker wrote them, and with Dovetail in the place of docker's
// package plugin. The second differs from the first by import paths alone.
//
// Go allows no overlay over files of the module cache, and docker's module lacks a
// go.mod. So each build works on a copy of the module's tree in the build
// directory, with docker's vendor.mod and vendor.sum as go.mod and go.sum.
// Nothing is written to the module cache or the repository.
//
// The go command caches what it compiles for the next build. The programs are
// static and linked with cgo, and two builds make the same bytes; -twice builds
// in a second directory and compares.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	version := flag.String("docker", "28.5.2", "version of docker to build")
	directory := flag.String("directory", "", "where to build; what it holds of an earlier build is replaced")
	repository := flag.String("repository", "../..", "the tree of Dovetail that is linked")
	twice := flag.Bool("twice", false, "build in a second directory, and compare the programs")
	moby := flag.Bool("suites", false, "build docker's own tests of plugins as well")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, *version, *directory, *repository)
	if err == nil && *moby {
		err = tree{path: filepath.Join(*directory, *version, "stock"), version: *version}.buildSuites(ctx)
	}
	if err == nil && *twice {
		err = again(ctx, *version, *directory, *repository)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// run builds both daemons below directory/version, and compares what is linked.
func run(ctx context.Context, version, directory, repository string) error {
	if directory == "" {
		return fmt.Errorf("-directory is not set")
	}
	directory, err := filepath.Abs(filepath.Join(directory, version))
	if err != nil {
		return err
	}
	repository, err = filepath.Abs(repository)
	if err != nil {
		return err
	}
	source, err := download(ctx, version)
	if err != nil {
		return err
	}
	stock := tree{path: filepath.Join(directory, "stock"), version: version}
	if err := stock.prepare(source); err != nil {
		return err
	}
	ours := tree{path: filepath.Join(directory, "dovetail"), version: version}
	if err := ours.prepare(source); err != nil {
		return err
	}
	if err := ours.replacePlugin(ctx, repository); err != nil {
		return err
	}
	for _, t := range []tree{stock, ours} {
		if err := t.build(ctx); err != nil {
			return err
		}
		if err := t.check(); err != nil {
			return err
		}
	}
	return compareModules(os.Stdout, version, stock.program("dockerd"), ours.program("dockerd"))
}
