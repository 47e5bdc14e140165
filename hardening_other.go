//go:build !linux

package plugin

import specs "github.com/opencontainers/runtime-spec/specs-go"

func (h Hardening) apply(*specs.Spec) {}
