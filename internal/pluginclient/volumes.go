// SPDX-License-Identifier: Apache-2.0

package pluginclient

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// The calls of volume plugins whose answers describe volumes.
const (
	volumeMethods = "VolumeDriver."
	listMethod    = volumeMethods + "List"
	getMethod     = volumeMethods + "Get"
)

const (
	// MaxListedVolumes bounds the volumes in one list. Docker's volume service
	// makes some 700 bytes of an empty one, and plugind makes two lists at a time:
	// 262,144 volumes took more than 260 MiB.
	MaxListedVolumes = 32 << 10
	// MaxShortAnswer bounds errors, and all answers of volume plugins except lists.
	// Daemons escape and wrap such texts, which takes up to fifty times their length: a
	// name of 8 MiB took 1.25 GiB. They also keep the status of a volume in memory for
	// each client that reads it slowly.
	MaxShortAnswer = 64 << 10
	// maxText bounds the name and the mountpoint of a volume, as PATH_MAX does, see
	// https://man7.org/linux/man-pages/man7/path_resolution.7.html.
	maxText = 4 << 10
)

// limitOf returns how long the answer to a call can be.
func limitOf(method string, status int) int64 {
	if status != http.StatusOK || strings.HasPrefix(method, volumeMethods) && method != listMethod {
		return MaxShortAnswer
	}
	return MaxAnswer
}

var errNullVolume = errors.New("call " + listMethod + ": the plugin's answer has a volume that is null")

// volumesAnswer is the answer to [listMethod] or [getMethod]. The first Read checks
// it: docker's volume service ends the process at a volume that is null.
type volumesAnswer struct {
	*boundedAnswer
	checked io.Reader // nil before the first Read
}

func (v *volumesAnswer) Read(p []byte) (int, error) {
	if v.checked == nil {
		text, err := io.ReadAll(v.boundedAnswer)
		if err == nil {
			err = v.check(text)
		}
		if err != nil {
			return 0, err
		}
		v.checked = bytes.NewReader(text)
	}
	return v.checked.Read(p)
}

// volume is what docker's volume service keeps of a volume.
type volume struct{ Name, Mountpoint string }

// check refuses the answer unless docker's volume service can decode it, and it is
// within the limits.
func (v *volumesAnswer) check(text []byte) error {
	volumes, failure, err := v.decode(text)
	switch {
	case err != nil:
		return fmt.Errorf("call %s: decode the plugin's answer: %w", v.method, err)
	case len(volumes) > MaxListedVolumes || len(failure) > MaxShortAnswer:
		return v.tooLong(v.method)
	case slices.Contains(volumes, nil):
		return errNullVolume
	case slices.ContainsFunc(volumes, (*volume).isLong):
		return fmt.Errorf("call %s: the plugin's answer has a name or a mountpoint of more than %d bytes", v.method, maxText)
	}
	return nil
}

// decode decodes exactly the fields that docker's volume service does: a field that it
// does not know can't fail here, nor hide another one.
func (v *volumesAnswer) decode(text []byte) (volumes []*volume, failure string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if v.method == listMethod {
		var answer struct {
			Volumes []*volume
			Err     string
		}
		err = decoder.Decode(&answer)
		return answer.Volumes, answer.Err, err
	}
	var answer struct {
		Volume *volume
		Err    string
	}
	err = decoder.Decode(&answer)
	if answer.Volume != nil {
		volumes = []*volume{answer.Volume}
	}
	return volumes, answer.Err, err
}

func (v *volume) isLong() bool { return len(v.Name) > maxText || len(v.Mountpoint) > maxText }
