// SPDX-License-Identifier: Apache-2.0

// Package api compares the exported surface of two families of Go packages: the
// family that programs import today, and its replacement.
//
// [Load] loads both with the go command, from the module versions that a
// modfile selects. [Compare] walks every exported identifier, field, method and
// signature of the old family. It finds the identifiers itself: a package that
// a new version of the old family adds is compared from then on. Findings are
// Missing, if the new family lacks something, Different, if a program could
// notice a change, and Added, for the rest of the new family, which no program
// notices.
//
// The test of this package compares docker's plugin packages with ours, in each
// supported version of docker:
//
//	go test -v -run TestSurface ./api
package api
