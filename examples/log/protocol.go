// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"net/http"
	"time"

	"github.com/docker/docker/api/types/plugins/logdriver"
	"github.com/docker/go-plugins-helpers/sdk"
)

// The requests of docker's protocol, with the members that this driver uses. A
// container's options, names and labels are also in Info:
// https://github.com/moby/moby/blob/v28.5.2/daemon/logger/loginfo.go
type (
	startRequest struct {
		File string
		Info info
	}
	stopRequest struct{ File string }
	readRequest struct {
		Info   info
		Config readConfig
	}
	info struct{ ContainerID string }
)

// readConfig is what docker logs asks for.
type readConfig struct {
	Since, Until time.Time // zero means no bound
	Tail         int       // how many of the last entries; negative means all
	Follow       bool
}

// takes reports whether an entry is within the bounds.
func (c readConfig) takes(entry *logdriver.LogEntry) bool {
	at := time.Unix(0, entry.TimeNano)
	return (c.Since.IsZero() || !at.Before(c.Since)) && (c.Until.IsZero() || !at.After(c.Until))
}

// answer is the answer to all requests except ReadLogs.
type answer struct {
	Err string
	Cap *capability `json:",omitempty"`
}

type capability struct{ ReadLogs bool }

// handler serves the protocol.
func handler(d *driver) sdk.Handler {
	h := sdk.NewHandler(`{"Implements": ["LogDriver"]}`)
	h.HandleFunc("/LogDriver.Capabilities", func(w http.ResponseWriter, _ *http.Request) {
		sdk.EncodeResponse(w, answer{Cap: &capability{ReadLogs: true}}, false)
	})
	h.HandleFunc("/LogDriver.StartLogging", func(w http.ResponseWriter, r *http.Request) {
		var request startRequest
		if sdk.DecodeRequest(w, r, &request) == nil {
			respond(w, d.start(request.File, request.Info.ContainerID))
		}
	})
	h.HandleFunc("/LogDriver.StopLogging", func(w http.ResponseWriter, r *http.Request) {
		var request stopRequest
		if sdk.DecodeRequest(w, r, &request) == nil {
			respond(w, d.stop(request.File))
		}
	})
	h.HandleFunc("/LogDriver.ReadLogs", d.serveLogs)
	return h
}

func respond(w http.ResponseWriter, err error) {
	if err != nil {
		sdk.EncodeResponse(w, answer{Err: err.Error()}, true)
		return
	}
	sdk.EncodeResponse(w, answer{}, false)
}

// serveLogs answers ReadLogs with entries in the format of the FIFO.
func (d *driver) serveLogs(w http.ResponseWriter, r *http.Request) {
	var request readRequest
	if sdk.DecodeRequest(w, r, &request) != nil {
		return
	}
	j, err := d.journalOf(request.Info.ContainerID)
	if err != nil {
		respond(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-json-stream")
	encoder := logdriver.NewLogEntryEncoder(w)
	flush := http.NewResponseController(w).Flush
	// An error ends the answer: its header is sent.
	_ = j.read(r.Context(), request.Config, encoder.Encode, flush)
}
