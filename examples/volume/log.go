// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"log"

	"github.com/docker/go-plugins-helpers/volume"
)

// logged returns driver with a log of its changes: of those that fail, or of
// all if verbose.
func logged(driver volume.Driver, verbose bool) volume.Driver {
	return loggedDriver{Driver: driver, verbose: verbose}
}

type loggedDriver struct {
	volume.Driver
	verbose bool
}

func (l loggedDriver) log(verb, name string, err error) {
	switch {
	case err != nil:
		log.Printf("%s %s: %v", verb, name, err)
	case l.verbose:
		log.Printf("%s %s", verb, name)
	}
}

func (l loggedDriver) Create(request *volume.CreateRequest) error {
	err := l.Driver.Create(request)
	l.log("create", request.Name, err)
	return err
}

func (l loggedDriver) Mount(request *volume.MountRequest) (*volume.MountResponse, error) {
	mounted, err := l.Driver.Mount(request)
	l.log("mount", request.Name, err)
	return mounted, err
}

func (l loggedDriver) Unmount(request *volume.UnmountRequest) error {
	err := l.Driver.Unmount(request)
	l.log("unmount", request.Name, err)
	return err
}

func (l loggedDriver) Remove(request *volume.RemoveRequest) error {
	err := l.Driver.Remove(request)
	l.log("remove", request.Name, err)
	return err
}
