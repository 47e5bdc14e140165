// SPDX-License-Identifier: Apache-2.0

//go:build !linux

// Command plugind is a small daemon around the plugin library. It runs on
// Linux only.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintln(os.Stderr, "plugind: plugins run on linux, not on", runtime.GOOS)
	os.Exit(1)
}
