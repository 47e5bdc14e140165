// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
)

// logs keeps the logs of containers as it receives them: as framed entries, which
// is also the format that docker reads. A restart of the plugin loses them.
type logs struct {
	mu      sync.Mutex
	streams map[string]*stream // by container
	paths   map[string]string  // containers by FIFO
}

type stream struct {
	mu   sync.Mutex
	data bytes.Buffer
	done chan struct{} // closed when the FIFO has ended
}

type logRequest struct {
	File string
	Info struct{ ContainerID string }
}

// reading is the plugin that ReadLogs requests read from.
var reading *logs

func newLogs() *logs {
	reading = &logs{streams: map[string]*stream{}, paths: map[string]string{}}
	return reading
}

func (l *logs) handlers() handlers {
	return handlers{
		"/LogDriver.Capabilities": func(*http.Request) (any, error) { return map[string]any{"Cap": map[string]bool{"ReadLogs": true}}, nil },
		"/LogDriver.StartLogging": l.start,
		"/LogDriver.StopLogging":  l.stop,
	}
}

func (l *logs) start(r *http.Request) (any, error) {
	request, err := asked[logRequest](r)
	if err != nil {
		return nil, err
	}
	fifo, err := os.OpenFile(request.File, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.streams[request.Info.ContainerID]
	if !ok {
		s = &stream{}
		l.streams[request.Info.ContainerID] = s
	}
	s.done = make(chan struct{})
	l.paths[request.File] = request.Info.ContainerID
	go s.read(fifo, s.done)
	return struct{}{}, nil
}

func (s *stream) read(fifo *os.File, done chan struct{}) {
	defer close(done)
	defer fifo.Close()
	part := make([]byte, 64<<10)
	for {
		n, err := fifo.Read(part)
		s.mu.Lock()
		s.data.Write(part[:n])
		s.mu.Unlock()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				log.Print(err)
			}
			return
		}
	}
}

// stop waits until the FIFO has been read to its end.
func (l *logs) stop(r *http.Request) (any, error) {
	request, err := asked[logRequest](r)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	s := l.streams[l.paths[request.File]]
	l.mu.Unlock()
	if s != nil {
		<-s.done
	}
	return struct{}{}, nil
}

// streamed serves ReadLogs, the only call with an answer that is not JSON. It
// reports whether r was such a call.
func streamed(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/LogDriver.ReadLogs" || reading == nil {
		return false
	}
	request, err := asked[logRequest](r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return true
	}
	reading.mu.Lock()
	s := reading.streams[request.Info.ContainerID]
	reading.mu.Unlock()
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = w.Write(s.data.Bytes())
	return true
}
