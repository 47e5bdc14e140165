// SPDX-License-Identifier: Apache-2.0

package runs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BuildAt builds the benchmarks of the work tree into path, with the library of
// another commit. That commit must have the API that the benchmarks use.
func BuildAt(ctx context.Context, module, ref, path string) (err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tree := filepath.Join(dir, "tree")
	if err := do(ctx, module, "git", "worktree", "add", "--quiet", "--detach", tree, ref); err != nil {
		return err
	}
	defer func() {
		// Also if ctx has ended: git would keep the work tree in its list.
		removed := do(context.WithoutCancel(ctx), module, "git", "worktree", "remove", "--force", tree)
		if err == nil {
			err = removed
		}
	}()
	modfile := filepath.Join(dir, "other.mod")
	for from, to := range map[string]string{"go.mod": modfile, "go.sum": filepath.Join(dir, "other.sum")} {
		if err := copyFile(filepath.Join(module, from), to); err != nil {
			return err
		}
	}
	if err := do(ctx, dir, "go", "mod", "edit", "-replace=github.com/dovetailhq/plugin="+tree, modfile); err != nil {
		return err
	}
	return Build(ctx, module, path, "-modfile="+modfile, "-mod=mod")
}

func do(ctx context.Context, dir, name string, arguments ...string) error {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, arguments[0], err, out)
	}
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}
