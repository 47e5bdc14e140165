// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"slices"
	"strings"
)

// capabilityNamed returns a capability of Linux as runtimes spell it. Configs
// write them in any case, and without the prefix.
func capabilityNamed(name string) (capability string, ok bool) {
	plain := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	return "CAP_" + plain, slices.Contains(capabilities, plain)
}

// knownCapabilities returns the capabilities of Linux in list.
func knownCapabilities(list []string) []string {
	var known []string
	for _, name := range list {
		if capability, ok := capabilityNamed(name); ok {
			known = append(known, capability)
		}
	}
	return known
}

// capabilities are all of capabilities(7), in the order of their numbers.
var capabilities = strings.Fields(`
	CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK
	IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
	SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
	AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
	BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)
