// SPDX-License-Identifier: Apache-2.0

// Package embed shows how a daemon embeds the plugin manager: see its example.
package embed
