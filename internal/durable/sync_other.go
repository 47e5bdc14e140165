// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package durable

import "os"

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	// Windows can't sync a directory handle; no manager runs there.
	_ = dir.Sync()
	return nil
}

func syncTree(dir *os.File) error { return syncDir(dir.Name()) }

func syncsWhole(*os.File) bool { return true }

func syncDirectories(dir *os.File) error { return syncDir(dir.Name()) }

func mountsBelow(string) ([]string, error) { return nil, nil }
