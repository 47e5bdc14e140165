// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const kmsg = "/dev/kmsg"

// kmsgSlack is how far the clock of the kernel's log may have drifted from
// ours. An older message is about an earlier process of the same pid.
const kmsgSlack = 5 * time.Minute

// killedSays reports whether the kernel's log has a line that the OOM killer ended
// process pid after since, a reading of the monotonic clock. Unlike a cgroup, the
// log outlives the process. But it has pids of the first pid namespace, and
// reading it needs privileges. See
// https://www.kernel.org/doc/Documentation/ABI/testing/dev-kmsg.
func killedSays(kmsg string, pid int, since time.Duration) bool {
	// A raw descriptor: each read is one record, and EAGAIN the end of them.
	fd, err := unix.Open(kmsg, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	needle := fmt.Sprintf("Killed process %d (", pid)
	record := make([]byte, 8192)
	for {
		n, err := unix.Read(fd, record)
		// EPIPE: the record was overwritten before it could be read.
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return false
		}
		if isKill(string(record[:n]), needle, since) {
			return true
		}
	}
}

// isKill reports whether a record has the needle and is new enough. Its form is
// priority,sequence,microseconds,flags;message.
func isKill(record, needle string, since time.Duration) bool {
	prefix, message, ok := strings.Cut(record, ";")
	if !ok || !strings.Contains(message, needle) {
		return false
	}
	fields := strings.Split(prefix, ",")
	if len(fields) < 3 {
		return false
	}
	microseconds, err := strconv.ParseInt(fields[2], 10, 64)
	return err == nil && time.Duration(microseconds)*time.Microsecond >= since-kmsgSlack
}

// uptime reads the monotonic clock, the clock of the kernel's log.
func uptime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
