// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dovetailhq/plugin/internal/class"
)

// identity identifies a process across the reuse of pids: a pid is not reused
// within the same clock tick.
type identity struct {
	PID int `json:"pid"`
	// Start is when it started, in clock ticks since boot.
	Start uint64 `json:"start"`
}

// process is a handle on a process that survives the reuse of pids.
type process struct {
	identity
	parent int
	// file is a pidfd, readable once the process has ended. It is parked in
	// the runtime's poller, so that waiting takes no thread.
	file *os.File
}

var errGone = errors.New("process is gone")

// openProcess returns a handle on the process that has pid now, or errGone.
func openProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.O_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	p := &process{file: os.NewFile(uintptr(fd), fmt.Sprintf("pidfd of %d", pid))}
	p.PID = pid
	p.Start, p.parent, err = readStat(pid)
	// If it lives now, it lived while its stat was read, so the stat was its own.
	if !p.alive() {
		p.close()
		return nil, errGone
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// findProcess returns a handle on the process that who names, or errGone.
func findProcess(who identity) (*process, error) {
	if who.PID <= 0 {
		return nil, errGone
	}
	p, err := openProcess(who.PID)
	if err != nil {
		return nil, err
	}
	if p.identity != who {
		p.close()
		return nil, errGone
	}
	return p, nil
}

// openDescendant returns a handle on the process that has pid now, nil if that
// process has ended. It also returns nil if the process is not a descendant of
// ancestor: then the pid was reused.
func openDescendant(pid, ancestor int) (*process, error) {
	if pid <= 0 {
		return nil, nil
	}
	p, err := openProcess(pid)
	if errors.Is(err, errGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for parent := p.parent; parent != ancestor; {
		if parent <= 1 {
			p.close()
			return nil, nil
		}
		if _, parent, err = readStat(parent); err != nil {
			p.close()
			return nil, ignoreMissing(err)
		}
	}
	return p, nil
}

// readStat reads /proc/<pid>/stat, see
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html. The command's name,
// in parentheses, may hold any bytes; the fields count from its end.
func readStat(pid int) (start uint64, parent int, err error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	const parentField, startField = 4 - 3, 22 - 3
	if len(fields) <= startField {
		return 0, 0, fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(fields))
	}
	if parent, err = strconv.Atoi(string(fields[parentField])); err != nil {
		return 0, 0, fmt.Errorf("read parent of %d: %w", pid, err)
	}
	if start, err = strconv.ParseUint(string(fields[startField]), 10, 64); err != nil {
		return 0, 0, fmt.Errorf("read start time of %d: %w", pid, err)
	}
	return start, parent, nil
}

// alive reports whether the process has not ended yet. It returns false for a
// closed handle.
func (p *process) alive() (alive bool) {
	_ = p.control(func(fd uintptr) { alive = !readable(fd) })
	return alive
}

func readable(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return fds[0].Revents&unix.POLLIN != 0
		}
	}
}

// await waits until the process has ended. It fails when ctx ends before, and
// as soon as the handle is closed.
func (p *process) await(ctx context.Context) error {
	if err := p.file.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	connection, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	err = connection.Read(readable)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

// signal sends signal to the process, or returns errGone. It returns errGone for a
// closed handle also: a run closes its handle after the end, or at Close of the
// executor, which [Executor.Signal] checks.
func (p *process) signal(signal syscall.Signal) error {
	var sent error
	if err := p.control(func(fd uintptr) {
		sent = unix.PidfdSendSignal(int(fd), signal, nil, 0)
	}); err != nil {
		return errGone
	}
	if errors.Is(sent, unix.ESRCH) {
		return errGone
	}
	if signal == unix.SIGKILL {
		p.thaw()
	}
	return sent
}

// kill ends the process and waits for that.
func (p *process) kill(ctx context.Context) error {
	if err := p.signal(unix.SIGKILL); err != nil && !errors.Is(err, errGone) {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	if err := p.await(ctx); err != nil {
		return class.Unavailable(fmt.Errorf("process %d %w: %w", p.PID, errStillLives, err))
	}
	return nil
}

func (p *process) control(f func(fd uintptr)) error {
	connection, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	return connection.Control(f)
}

func (p *process) close() { p.file.Close() }

// pidfdInfo is struct pidfd_info of <linux/pidfd.h> in its first version.
type pidfdInfo struct {
	mask     uint64
	cgroupID uint64
	_        [11]uint32
	exitCode int32
}

const (
	// pidfdGetInfo is _IOWR(0xFF, 11, struct pidfd_info).
	pidfdGetInfo = 3<<30 | unsafe.Sizeof(pidfdInfo{})<<16 | 0xFF<<8 | 11
	// pidfdInfoExit asks for the exit status, which is there once the process
	// was reaped: Linux 6.15.
	pidfdInfoExit = 1 << 3
)

// exitCode asks the kernel how the process ended: its exit code, or 128+n if
// it ended by signal n.
func (p *process) exitCode() (code int, ok bool) {
	info := pidfdInfo{mask: pidfdInfoExit}
	_ = p.control(func(fd uintptr) {
		_, _, failed := unix.Syscall(unix.SYS_IOCTL, fd, pidfdGetInfo, uintptr(unsafe.Pointer(&info)))
		ok = failed == 0 && info.mask&pidfdInfoExit != 0
	})
	status := syscall.WaitStatus(uint32(info.exitCode))
	if status.Signaled() {
		return 128 + int(status.Signal()), ok
	}
	return status.ExitStatus(), ok
}
