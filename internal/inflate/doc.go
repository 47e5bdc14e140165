// SPDX-License-Identifier: Apache-2.0

// Package inflate reads gzip streams ([RFC 1952] around [RFC 1951]). It returns the
// same bytes and the same verdicts as [compress/gzip], faster: inflating is most of
// the cost of an install. It uses no unsafe code.
//
// The speed comes from three choices. A 64-bit bit buffer is refilled by one load for
// several symbols. A table entry has all that a symbol needs: its value, and the bits
// of its code and of its extra bits together. Two short literals are one entry.
//
// [RFC 1952]: https://www.rfc-editor.org/rfc/rfc1952
// [RFC 1951]: https://www.rfc-editor.org/rfc/rfc1951
package inflate
