package layout

import (
	"io/fs"
	"syscall"
)

// inode identifies a file.
type inode struct{ device, number uint64 }

// blockBytes is the unit of st_blocks, whatever the file system's own is.
const blockBytes = 512

// allocated returns what a file takes of the disk, and whether it may have
// several names.
func allocated(info fs.FileInfo) (bytes int64, file inode, linked bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.Size(), inode{}, false
	}
	return stat.Blocks * blockBytes, inode{stat.Dev, stat.Ino}, !info.IsDir() && stat.Nlink > 1
}
