// Package registry tests pulls and pushes against the registries that people
// run: distribution's, in this process, open, with accounts and as a mirror;
// and Debian's package of it.
package registry
