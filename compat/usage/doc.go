// Package usage type-checks what uses docker's plugin packages as if it used
// ours.
//
// [Check] takes a module that imports a package, directly or through others
// of its own, and type-checks those packages from their source, function
// bodies too, with replacements for what they import. The test does so with
// docker's whole module: its daemon, its API router, its swarm controllers,
// its metrics and its test fixtures are read as they are and have to accept
// our packages under docker's import paths.
//
// The other tests of this package are the same call sites written out, for
// people to read and for the compiler to check, and a daemon in small that
// runs.
package usage
