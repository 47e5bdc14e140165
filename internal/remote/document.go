// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// readDocument reads a response into memory. If it is longer than limit, the
// error is tooLarge.
func readDocument(response *http.Response, limit int64, tooLarge error) ([]byte, error) {
	host := response.Request.URL.Host
	if encoding := encodingOf(response); encoding != "" {
		return nil, &ProtocolError{Host: host, Why: fmt.Sprintf("its answer has the encoding %q, which was not requested", encoding)}
	}
	if response.ContentLength > limit {
		return nil, tooLarge
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, connectionTo(host, err)
	}
	if int64(len(data)) > limit {
		return nil, tooLarge
	}
	return data, nil
}

// maxEncodingBytes bounds the encodings that errors name. Registered names are
// short: https://www.iana.org/assignments/http-parameters
const maxEncodingBytes = 64

// encodingOf returns the content encoding of a response, empty for the identity.
func encodingOf(response *http.Response) string {
	encoding := strings.Join(response.Header.Values("Content-Encoding"), ", ")
	if strings.EqualFold(encoding, "identity") {
		return ""
	}
	if len(encoding) > maxEncodingBytes {
		return "a long one"
	}
	return encoding
}
