// SPDX-License-Identifier: Apache-2.0

// Package watch reports that files in a directory tree have changed.
package watch
