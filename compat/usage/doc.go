// SPDX-License-Identifier: Apache-2.0

// Package usage type-checks users of docker's plugin packages against ours.
//
// [Check] takes a module that imports a package, directly or through its other
// packages. It type-checks those packages from their source, including function
// bodies, with replacements for their imports. The test does so with docker's
// whole module: its daemon, API router, swarm controllers, metrics and test
// fixtures must accept our packages under docker's import paths.
//
// The other tests of this package are the same call sites written out, to be
// read and compiled, and a small daemon that runs.
package usage
