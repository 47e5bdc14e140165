// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// changed returns the change time of a file in ns. A rename also changes it.
func changed(path string) (int64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Ctim.Nano(), nil
}

// differences counts the files of tree that are missing from or differ in other. It
// reads no file outside of the trees.
func differences(ctx context.Context, tree, other string) (count int, err error) {
	err = compare(ctx, tree, other, func(_ fs.DirEntry, same bool) error {
		if !same {
			count++
		}
		return nil
	})
	return count, err
}

// adds reports whether tree has content that other lacks. Directories and empty files
// have none: runtimes make them as mount points.
func adds(ctx context.Context, tree, other string) (added bool, err error) {
	err = compare(ctx, tree, other, func(entry fs.DirEntry, same bool) error {
		if same || entry.IsDir() {
			return nil
		}
		info, err := entry.Info()
		if err == nil && (!info.Mode().IsRegular() || info.Size() > 0) {
			added = true
		}
		return err
	})
	return added, err
}

// errDifferent ends a comparison.
var errDifferent = errors.New("the trees differ")

// identical reports whether two trees have the same files with the same content.
func identical(ctx context.Context, tree, other string) (bool, error) {
	for _, pair := range [][2]string{{tree, other}, {other, tree}} {
		err := compare(ctx, pair[0], pair[1], func(_ fs.DirEntry, same bool) error {
			if !same {
				return errDifferent
			}
			return nil
		})
		if errors.Is(err, errDifferent) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// compare calls visit for each file of tree, and whether other has the same.
func compare(ctx context.Context, tree, other string, visit func(entry fs.DirEntry, same bool) error) (err error) {
	roots := [2]*os.Root{}
	for i, dir := range []string{tree, other} {
		if roots[i], err = os.OpenRoot(dir); err != nil {
			return err
		}
		defer roots[i].Close()
	}
	return filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		name, err := filepath.Rel(tree, path)
		if err != nil || name == "." {
			return err
		}
		same, err := sameFile(roots, name)
		if err != nil {
			return err
		}
		return visit(entry, same)
	})
}

// sameFile reports whether two trees have the same file at name. A name that leads
// nowhere in the other tree is different; an error of the disk is returned.
func sameFile(roots [2]*os.Root, name string) (bool, error) {
	mine, err := roots[0].Lstat(name)
	if err != nil {
		return false, err
	}
	other, err := roots[1].Lstat(name)
	if isNowhere(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if mine.Mode().Type() != other.Mode().Type() {
		return false, nil
	}
	switch mine.Mode().Type() {
	case 0:
		if mine.Size() != other.Size() {
			return false, nil
		}
		return sameContent(roots, name)
	case fs.ModeSymlink:
		target, err := roots[0].Readlink(name)
		otherTarget, otherErr := roots[1].Readlink(name)
		return target == otherTarget, errors.Join(err, otherErr)
	}
	return true, nil
}

// isNowhere reports whether an error means that a name leads to no file of a tree. An
// error without a number is that of [os.Root], for a link that leads out of the tree.
func isNowhere(err error) bool {
	var number syscall.Errno
	isNumber := errors.As(err, &number)
	return err != nil && !isNumber || number == syscall.ENOENT || number == syscall.ENOTDIR || number == syscall.ELOOP
}

func sameContent(roots [2]*os.Root, name string) (bool, error) {
	var blocks [2][]byte
	var files [2]*os.File
	for i, root := range roots {
		file, err := root.Open(name)
		if err != nil {
			return false, err
		}
		defer file.Close()
		files[i], blocks[i] = file, make([]byte, 64<<10)
	}
	for {
		n, err := readBlock(files[0], blocks[0])
		m, otherErr := readBlock(files[1], blocks[1])
		if err := errors.Join(err, otherErr); err != nil {
			return false, err
		}
		if !bytes.Equal(blocks[0][:n], blocks[1][:m]) {
			return false, nil
		}
		if n < len(blocks[0]) {
			return true, nil
		}
	}
}

// readBlock fills a block. At the end of the file it reads less.
func readBlock(file io.Reader, block []byte) (int, error) {
	n, err := io.ReadFull(file, block)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return n, nil
	}
	return n, err
}
