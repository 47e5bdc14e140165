// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	"gotest.tools/v3/golden"
)

func indent(t testing.TB, data []byte) string {
	t.Helper()
	var buffer bytes.Buffer
	assert.NilError(t, json.Indent(&buffer, data, "", "\t"))
	return buffer.String() + "\n"
}

func TestRecordHasDockersKeysInOrder(t *testing.T) {
	data, err := json.Marshal(example())
	assert.NilError(t, err)
	golden.Assert(t, indent(t, data), "record.golden.json")
	assert.DeepEqual(t, topLevelKeys(t, data),
		[]string{"plugin", "Rootfs", "Config", "Blobsums", "Manifest", "SwarmServiceID"})
}

func topLevelKeys(t testing.TB, data []byte) []string {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	var keys []string
	for depth, isKey := 0, false; decoder.More() || depth > 0; {
		token, err := decoder.Token()
		assert.NilError(t, err)
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			isKey = depth == 1
			continue
		case json.Delim('}'), json.Delim(']'):
			depth--
			isKey = depth == 1
			continue
		}
		if depth != 1 {
			continue
		}
		if isKey {
			keys = append(keys, token.(string))
		}
		isKey = !isKey
	}
	return keys
}

// plainPlugin is docker's type as encoding/json sees it.
type plainPlugin struct {
	PluginObj      types.Plugin `json:"plugin"`
	Rootfs         string
	Config         string
	Blobsums       []string
	Manifest       string
	SwarmServiceID string
}

func TestRecordIsWhatDockerWouldWrite(t *testing.T) {
	p := example()
	plain := &plainPlugin{
		PluginObj: p.PluginObj, Rootfs: p.Rootfs, Config: p.Config.String(), Manifest: p.Manifest.String(),
		Blobsums: []string{p.Blobsums[0].String()}, SwarmServiceID: p.SwarmServiceID,
	}
	assert.Equal(t, string(encode(p)), string(encode(plain)))
	assert.Equal(t, string(encode(&Plugin{})), string(encode(&plainPlugin{})))
}

func TestDockerReadsOurRecord(t *testing.T) {
	p := example()
	p.SetTimeout(30 * time.Second)
	var plain plainPlugin
	assert.NilError(t, json.Unmarshal(encode(p), &plain))
	assert.DeepEqual(t, plain.PluginObj, p.PluginObj)
	assert.Equal(t, plain.Rootfs, p.Rootfs)
	assert.Equal(t, plain.Blobsums[0], p.Blobsums[0].String())
}

func TestRecordRoundTrip(t *testing.T) {
	p := example()
	data := encode(p)
	read := new(Plugin)
	assert.NilError(t, json.Unmarshal(data, read))
	assert.DeepEqual(t, read.PluginObj, p.PluginObj)
	assert.Equal(t, string(encode(read)), string(data))
	assert.Assert(t, read.origin == nil, "a record of docker's shape needs no memory")
}

// TestRecordsLoadAndLoseNothing reads records of the shape that docker writes.
func TestRecordsLoadAndLoseNothing(t *testing.T) {
	files, err := os.ReadDir("testdata/records")
	assert.NilError(t, err)
	assert.Assert(t, len(files) > 0)
	for _, file := range files {
		t.Run(file.Name(), func(t *testing.T) {
			data, err := os.ReadFile("testdata/records/" + file.Name())
			assert.NilError(t, err)
			p := new(Plugin)
			assert.NilError(t, json.Unmarshal(data, p))
			assert.Assert(t, p.Name() != "")
			assert.DeepEqual(t, asAny(t, encode(p)), asAny(t, data))
		})
	}
}

// asAny makes records comparable that differ in order and white space.
func asAny(t testing.TB, data []byte) (value any) {
	t.Helper()
	assert.NilError(t, json.Unmarshal(data, &value))
	return value
}

func TestCallTimeoutIsKept(t *testing.T) {
	p := example()
	p.SetTimeout(90 * time.Second)
	data := encode(p)
	assert.Assert(t, strings.HasSuffix(string(data), `"CallTimeout":"1m30s"}`), "%s", data)

	read := new(Plugin)
	assert.NilError(t, json.Unmarshal(data, read))
	assert.Equal(t, read.Timeout(), 90*time.Second)

	read.SetTimeout(0)
	assert.Assert(t, !strings.Contains(string(encode(read)), "CallTimeout"))
}

func TestUnmarshalReplacesTheRecordOnly(t *testing.T) {
	p := example()
	p.Acquire()
	p.SetTimeout(time.Second)
	assert.NilError(t, json.Unmarshal([]byte(`{"plugin":{"Name":"other"}}`), p))
	assert.DeepEqual(t, p.PluginObj, types.Plugin{Name: "other"})
	assert.Equal(t, p.Rootfs, "")
	assert.Equal(t, len(p.Blobsums), 0)
	assert.Equal(t, p.Timeout(), time.Duration(0))
	assert.Equal(t, p.GetRefCount(), 1)
}

func TestUnmarshalRefusesAndChangesNothing(t *testing.T) {
	tests := []struct {
		name string
		data string
	}{
		{"no object", `[]`},
		{"wrong type", `{"plugin":7}`},
		{"wrong type deep down", `{"plugin":{"Config":{"Interface":{"Types":[{}]}}}}`},
		{"call timeout without unit", `{"CallTimeout":"30"}`},
		{"call timeout that is not a string", `{"CallTimeout":30}`},
		{"negative call timeout", `{"CallTimeout":"-1s"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := example()
			was := string(encode(p))
			assert.ErrorType(t, json.Unmarshal([]byte(tt.data), p), &InvalidRecordError{})
			assert.Equal(t, string(encode(p)), was)
		})
	}
}

func TestUnmarshalNullDoesNothing(t *testing.T) {
	p := example()
	assert.NilError(t, p.UnmarshalJSON([]byte("null")))
	assert.Equal(t, p.Name(), "example/volumes:latest")
}
