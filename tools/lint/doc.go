// SPDX-License-Identifier: Apache-2.0

// Package lint pins the checkers of this repository, golangci-lint and
// govulncheck. They run from the root directory:
//
//	go tool -modfile=tools/lint/go.mod golangci-lint run
package lint
