// Package api compares the exported surface of two families of Go packages:
// the one that programs import today, and the one that is to replace it.
//
// [Load] loads both with the go command, from whatever module versions a
// modfile selects, and [Compare] walks every exported identifier, field,
// method and signature of the old family. The identifiers are found, not
// listed by hand: a package that a new version of the old family adds is
// compared from then on. What the new family lacks is Missing, what a program
// could notice is Different, and the rest of the new family is Added, which
// no program notices.
//
// The test of this package compares docker's plugin packages with ours, in
// each supported version of docker:
//
//	go test -v -run TestSurface ./api
package api
