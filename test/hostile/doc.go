// Package hostile holds a manager to its bounds: archives and documents of at
// most 2 MiB that were made to cost much go through the verbs, each in a process
// of its own whose memory and processor time are measured; and a plugin that runs
// does to its directories what it can, while verbs on others go on.
package hostile
