// SPDX-License-Identifier: Apache-2.0

// Package hostile tests the bounds of a manager. Archives and documents of at
// most 2 MiB that are costly to read go through the verbs. Each verb runs in a
// separate process with measured memory and processor time. In another test a
// running plugin abuses its directories while verbs on other plugins continue.
package hostile
