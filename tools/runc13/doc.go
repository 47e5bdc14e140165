// SPDX-License-Identifier: Apache-2.0

// Package runc13 names the runc 1.3 that plugins are tested with besides the
// machine's own; its command is built from here, with cgo:
//
//	go build tool
package runc13
