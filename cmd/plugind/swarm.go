// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"

	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/errdefs"
)

// noSwarm is the cluster of docker's volume router, which asks it for volumes
// of a swarm. plugind has none.
type noSwarm struct{}

var errNoSwarm = errdefs.Unavailable(errors.New("this node is not a swarm manager"))

func (noSwarm) IsManager() bool                                           { return false }
func (noSwarm) GetVolume(string) (volume.Volume, error)                   { return volume.Volume{}, errNoSwarm }
func (noSwarm) GetVolumes(volume.ListOptions) ([]*volume.Volume, error)   { return nil, errNoSwarm }
func (noSwarm) CreateVolume(volume.CreateOptions) (*volume.Volume, error) { return nil, errNoSwarm }
func (noSwarm) RemoveVolume(string, bool) error                           { return errNoSwarm }
func (noSwarm) UpdateVolume(string, uint64, volume.UpdateOptions) error   { return errNoSwarm }
