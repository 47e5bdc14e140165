// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/containers"
)

// Runs returns the IDs of all runs that this executor, or an earlier one of the
// same directory, has made and that still exist: living runs, and dead runs that
// were not removed completely. It ignores other tasks in the namespace. Runs waits
// for containerd at most ten seconds. It can return IDs together with an error;
// the list is then incomplete.
func (e *Executor) Runs() ([]string, error) {
	ctx, cancel := e.calls.Bounded(e.limits.outage)
	defer cancel()
	ids, problems := e.listed(ctx)
	withPipes, err := e.withPipes()
	if err != nil {
		problems = append(problems, err)
	}
	ids = append(ids, withPipes...)
	slices.Sort(ids)
	return slices.Compact(ids), errors.Join(problems...)
}

// listed returns the IDs of containers with the executor's label, and of tasks that
// write to pipes in its directory.
func (e *Executor) listed(ctx context.Context) (ids []string, problems []error) {
	var made []containers.Container
	var running *tasks.ListTasksResponse
	err := e.retryLost(ctx, func() (err error) {
		made, err = e.client.ContainerService().List(ctx, fmt.Sprintf("labels.%q==%q", rootLabel, e.root))
		return err
	})
	if err != nil {
		problems = append(problems, fmt.Errorf("list containers: %w", native(ctx, err)))
	}
	err = e.retryLost(ctx, func() (err error) {
		running, err = e.client.TaskService().List(ctx, &tasks.ListTasksRequest{})
		return err
	})
	if err != nil {
		problems = append(problems, fmt.Errorf("list tasks: %w", native(ctx, err)))
	}
	for _, container := range made {
		ids = append(ids, container.ID)
	}
	for _, task := range running.GetTasks() {
		if strings.HasPrefix(task.Stdout, e.root+string(filepath.Separator)) {
			ids = append(ids, task.ID)
		}
	}
	return ids, problems
}

// withPipes returns the IDs that have pipes in the executor's directory.
func (e *Executor) withPipes() (ids []string, err error) {
	entries, err := os.ReadDir(e.root)
	for _, entry := range entries {
		if _, missing := os.Lstat(e.pipes(entry.Name()).stdout); missing == nil {
			ids = append(ids, entry.Name())
		}
	}
	return ids, err
}
