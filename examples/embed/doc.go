// Package embed shows how a daemon embeds the plugin manager: see its example.
package embed
