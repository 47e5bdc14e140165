// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package hardening

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Apply does nothing: plugins start on Linux only.
func (Options) Apply(*specs.Spec) {}
