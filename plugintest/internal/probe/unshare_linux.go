package probe

import "syscall"

// unshareNothing changes nothing, and is refused by docker's seccomp profile.
func unshareNothing() error { return syscall.Unshare(0) }
