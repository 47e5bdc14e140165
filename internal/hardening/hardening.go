// SPDX-License-Identifier: Apache-2.0

// Package hardening restricts the OCI spec of a plugin beyond docker's defaults: a
// seccomp filter, an AppArmor profile, limits. It leaves out features that the
// host does not have.
package hardening

// Options are the changes of a spec. A zero field changes nothing. The values must
// be valid.
type Options struct {
	Seccomp         string // FilterDefault, FilterAll or empty
	NoNewPrivileges bool
	AppArmorProfile string
	ReadonlyRootfs  bool
	MemoryBytes     int64
	CPUs            float64
	Pids            int64
	OOMScoreAdj     *int
	CgroupParent    string
}

// Values of [Options].Seccomp select the plugins that docker's default profile
// filters.
const (
	// FilterDefault filters plugins without CAP_SYS_ADMIN; the profile does not
	// cover the needs of the others.
	FilterDefault = "default"
	// FilterAll filters all plugins.
	FilterAll = "all"
)
