//go:build linux

package main

import (
	"errors"

	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/errdefs"
)

// noSwarm is the cluster that docker's volume router asks for volumes of a
// swarm. There is none.
type noSwarm struct{}

var errNoSwarm = errdefs.Unavailable(errors.New("this node is not a swarm manager"))

func (noSwarm) IsManager() bool                                           { return false }
func (noSwarm) GetVolume(string) (volume.Volume, error)                   { return volume.Volume{}, errNoSwarm }
func (noSwarm) GetVolumes(volume.ListOptions) ([]*volume.Volume, error)   { return nil, errNoSwarm }
func (noSwarm) CreateVolume(volume.CreateOptions) (*volume.Volume, error) { return nil, errNoSwarm }
func (noSwarm) RemoveVolume(string, bool) error                           { return errNoSwarm }
func (noSwarm) UpdateVolume(string, uint64, volume.UpdateOptions) error   { return errNoSwarm }
