// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/containerd/errdefs"
	dockererrdefs "github.com/docker/docker/errdefs"
	"gotest.tools/v3/assert"
)

func TestErrorClassesAndMessages(t *testing.T) {
	classes := map[string]func(error) bool{
		"conflict":          errdefs.IsConflict,
		"invalid parameter": errdefs.IsInvalidArgument,
		"system":            errdefs.IsInternal,
		"not found":         errdefs.IsNotFound,
		"unavailable":       errdefs.IsUnavailable,
	}
	dockers := map[string]func(error) bool{
		"conflict":          dockererrdefs.IsConflict,
		"invalid parameter": dockererrdefs.IsInvalidParameter,
		"system":            dockererrdefs.IsSystem,
		"not found":         dockererrdefs.IsNotFound,
		"unavailable":       dockererrdefs.IsUnavailable,
	}
	tests := []struct {
		err     error
		class   string
		message string
	}{
		{ErrInadequateCapability{capability: "VolumeDriver"}, "", `plugin does not provide "volumedriver" capability`},
		{&DisabledError{Name: "example"}, "conflict", `plugin example found but disabled`},
		{&InUseError{Name: "example"}, "conflict", `plugin example is in use`},
		{
			&InvalidSettingError{Setting: "A", Reason: "is not settable"}, "invalid parameter",
			`"A" is not settable (settable in this plugin: nothing)`,
		},
		{
			&InvalidSettingError{Setting: "A", Reason: "is not settable", Settable: []string{"B", "m.source"}}, "invalid parameter",
			`"A" is not settable (settable in this plugin: B, m.source)`,
		},
		{
			&InvalidSpecError{Name: "example", Reason: "it has no rootfs"}, "invalid parameter",
			`make spec of plugin "example": it has no rootfs`,
		},
		{
			&InvalidSpecError{Name: "example", Reason: `device "d"`, Err: fs.ErrNotExist}, "invalid parameter",
			`make spec of plugin "example": device "d": file does not exist`,
		},
		{&InvalidConfigError{Err: fs.ErrNotExist}, "invalid parameter", `invalid plugin config: file does not exist`},
		{&ConfigProblemError{Field: "network.type", Value: "x", Reason: "is not known"}, "invalid parameter", `network.type "x" is not known`},
		{&InvalidRecordError{Err: fs.ErrNotExist}, "system", `read plugin record: file does not exist`},
		{
			&NoAnswerError{Subject: `device "d"`, Path: "/a/b", Mountpoint: "/a", FileSystem: "nfs4"}, "unavailable",
			`device "d": inspect /a/b: the file system at /a, of type nfs4, does not answer: restart its server, or unmount it`,
		},
		{&NoAnswerError{Path: "/a"}, "unavailable", `inspect /a: the time limit ended before all paths were inspected`},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%T %s", tt.err, tt.class), func(t *testing.T) {
			assert.Error(t, tt.err, tt.message)
			wrapped := fmt.Errorf("enable: %w", tt.err)
			for class := range classes {
				assert.Equal(t, classes[class](wrapped), class == tt.class, class)
				assert.Equal(t, dockers[class](wrapped), class == tt.class, class)
			}
		})
	}
}

func TestErrorsUnwrap(t *testing.T) {
	for _, err := range []error{
		&InvalidSpecError{Err: fs.ErrNotExist},
		&InvalidConfigError{Err: fs.ErrNotExist},
		&InvalidRecordError{Err: fs.ErrNotExist},
	} {
		assert.Check(t, errors.Is(err, fs.ErrNotExist), "%T", err)
	}
}
