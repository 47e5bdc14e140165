// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// recordMeta is a record without the plugin object: docker's keys, in docker's
// order, and four of ours, which docker ignores.
type recordMeta struct {
	Rootfs         string
	Config         digest.Digest
	Blobsums       []digest.Digest
	Manifest       digest.Digest
	SwarmServiceID string
	// CallTimeout is a duration as time.ParseDuration reads it.
	CallTimeout string `json:",omitempty"`
	// MountSources are the original sources of the config's mounts, in its
	// order, if the record replaces any of them. See asDockerReads.
	MountSources []*string `json:",omitempty"`
	// DevicePins are the granted device nodes, and SourcePins the granted
	// targets of sources. See PinGrants.
	DevicePins map[string][]string `json:",omitempty"`
	SourcePins map[string]string   `json:",omitempty"`
}

// MarshalJSON writes the record of p: docker's members, with the mount sources
// of the settings where docker reads them; Dovetail's members, unless they have
// the default value; and members that [Plugin.UnmarshalJSON] did not know.
func (p *Plugin) MarshalJSON() ([]byte, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	understood, err := p.marshalLocked()
	if err != nil {
		return nil, err
	}
	return p.origin.restore(understood), nil
}

// UnmarshalJSON reads a record. It replaces the whole record of p, with zero
// values for members that data lacks, and keeps unknown members for
// MarshalJSON. References, client and address stay. Digests are not validated.
// The error is of type [InvalidRecordError]; then p has not changed.
func (p *Plugin) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var read struct {
		Plugin wirePlugin `json:"plugin"`
		recordMeta
	}
	if err := json.Unmarshal(data, &read); err != nil {
		return &InvalidRecordError{Err: err}
	}
	timeout, err := parseCallTimeout(read.CallTimeout)
	if err != nil {
		return &InvalidRecordError{Err: err}
	}

	fresh := &Plugin{
		PluginObj:      read.Plugin.value(),
		Rootfs:         read.Rootfs,
		Config:         read.Config,
		Blobsums:       read.Blobsums,
		Manifest:       read.Manifest,
		SwarmServiceID: read.SwarmServiceID,
	}
	fresh.devicePins, fresh.sourcePins = read.DevicePins, read.SourcePins
	takeBack(&fresh.PluginObj.Config, read.MountSources)
	fresh.SetTimeout(timeout)
	understood, err := fresh.marshalLocked()
	if err != nil {
		return &InvalidRecordError{Err: err}
	}
	fresh.origin = newOrigin(data, understood)
	p.replaceRecord(fresh)
	return nil
}

// replaceRecord moves the data of fresh, which is not published, to p.
func (p *Plugin) replaceRecord(fresh *Plugin) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.PluginObj = fresh.PluginObj
	p.Rootfs = fresh.Rootfs
	p.Config = fresh.Config
	p.Blobsums = fresh.Blobsums
	p.Manifest = fresh.Manifest
	p.SwarmServiceID = fresh.SwarmServiceID
	p.devicePins, p.sourcePins = fresh.devicePins, fresh.sourcePins
	p.origin = fresh.origin
	p.SetTimeout(fresh.Timeout())
}

func (p *Plugin) marshalLocked() ([]byte, error) {
	meta := recordMeta{
		Rootfs:         p.Rootfs,
		Config:         p.Config,
		Blobsums:       p.Blobsums,
		Manifest:       p.Manifest,
		SwarmServiceID: p.SwarmServiceID,
	}
	plugin, own := asDockerReads(p.PluginObj)
	meta.MountSources = own
	meta.DevicePins, meta.SourcePins = p.devicePins, p.sourcePins
	if timeout := p.Timeout(); timeout > 0 {
		meta.CallTimeout = timeout.String()
	}
	return json.Marshal(struct {
		Plugin any `json:"plugin"`
		recordMeta
	}{&plugin, meta})
}

func parseCallTimeout(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	timeout, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("parse CallTimeout: %w", err)
	}
	if timeout < 0 {
		return 0, fmt.Errorf("parse CallTimeout: %q is negative", text)
	}
	return timeout, nil
}
