package v2

import (
	"slices"
	"strings"
)

// isCapability knows the capabilities of Linux. Case does not matter, and
// neither does the prefix: docker installs a plugin that leaves it out, and
// runs it without the capability.
func isCapability(name string) bool {
	return slices.Contains(capabilities, strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
}

// capabilities are all of capabilities(7), in the order of their numbers.
var capabilities = strings.Fields(`
	CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK
	IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
	SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
	AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
	BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)
