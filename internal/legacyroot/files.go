// SPDX-License-Identifier: Apache-2.0

package legacyroot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// maxDocumentBytes bounds a manifest and settings, like a config.json by default.
const maxDocumentBytes = 1 << 20

var (
	errNotDirectory = errors.New("it is not a directory")
	errNotRegular   = errors.New("it is not a regular file")
)

// readFile reads a regular file. It does not block if another program concurrently
// replaces the file by a fifo.
func readFile(root *os.Root, name string, most int64) ([]byte, error) {
	if err := checkRegular(root.Lstat(name)); err != nil {
		return nil, err
	}
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := checkRegular(file.Stat()); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, &sizeError{most}
	}
	return data, nil
}

func checkRegular(info fs.FileInfo, err error) error {
	if err == nil && !info.Mode().IsRegular() {
		return errNotRegular
	}
	return err
}

func checkDirectory(info fs.FileInfo, err error) error {
	if err == nil && !info.IsDir() {
		return errNotDirectory
	}
	return err
}

// sizeError reports a file that is larger than its bound.
type sizeError struct{ most int64 }

func (e *sizeError) Error() string { return fmt.Sprintf("it has more than %d bytes", e.most) }

// isBroken reports whether an error is about the files, and not about the host.
func isBroken(err error) bool {
	return errors.Is(err, errNotRegular) || errors.Is(err, errNotDirectory) || errors.As(err, new(*sizeError))
}

// brokenUnlessHost makes an error of reading a plugin's file an [EntryError], unless
// another attempt can succeed.
func brokenUnlessHost(id, file string, err error) error {
	missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
	if missing || isBroken(err) {
		return &EntryError{ID: id, File: file, Err: err}
	}
	return fmt.Errorf("read plugin %.100q of docker 1.12: %w", id, err)
}

// EntryError reports a plugin of docker 1.12 that can't be imported as it is. Class
// InvalidParameter.
type EntryError struct {
	ID   string // as in the inventory
	File string // the name of the file with the problem; empty for the directory
	Err  error
}

func (e *EntryError) Error() string {
	if e.File == "" {
		return plaintext.Sprintf("plugin %.100q of docker 1.12: %v", e.ID, e.Err)
	}
	return plaintext.Sprintf("plugin %.100q of docker 1.12: %s: %v", e.ID, e.File, e.Err)
}

// Unwrap returns the problem.
func (e *EntryError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (e *EntryError) InvalidParameter() {}

// InventoryError reports an inventory that can't be read. Class InvalidParameter.
type InventoryError struct {
	Path string
	Err  error
}

func (e *InventoryError) Error() string {
	return plaintext.Sprintf("inventory of docker 1.12 %s: %v", e.Path, e.Err)
}

// Unwrap returns the problem.
func (e *InventoryError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (e *InventoryError) InvalidParameter() {}
