// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"net/http"
	"strings"
)

// challenge is one way to authenticate that a server offers.
type challenge struct {
	scheme     string // lower case
	parameters map[string]string
}

// challenges returns the challenges of a 401, in order. One header field can hold
// several: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1.
func challenges(header http.Header) []challenge {
	var all []challenge
	for _, field := range header.Values("WWW-Authenticate") {
		p := &challengeParser{rest: field}
		for p.next() {
		}
		all = append(all, p.found...)
	}
	return all
}

// challengeParser reads a list of challenges. Commas separate challenges and also
// their parameters: a word is a parameter if an equals sign follows, otherwise
// the scheme of the next challenge.
type challengeParser struct {
	rest  string
	found []challenge
}

// next reads a scheme or a parameter, and reports whether there was one.
func (p *challengeParser) next() bool {
	p.rest = strings.TrimLeft(p.rest, ", \t")
	word := p.token()
	if word == "" {
		return false
	}
	value, isParameter := strings.CutPrefix(strings.TrimLeft(p.rest, " \t"), "=")
	if isParameter && len(p.found) > 0 {
		p.rest = strings.TrimLeft(value, " \t")
		p.found[len(p.found)-1].parameters[strings.ToLower(word)] = p.value()
		return true
	}
	p.found = append(p.found, challenge{strings.ToLower(word), map[string]string{}})
	return true
}

// token reads an RFC 9110 token, or the characters of a token68.
func (p *challengeParser) token() string {
	end := strings.IndexFunc(p.rest, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),:;<=>?@[\]{}`, c) })
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

// value reads a quoted string, or a value that a server has not quoted.
func (p *challengeParser) value() string {
	quoted, ok := strings.CutPrefix(p.rest, `"`)
	if !ok {
		end := strings.IndexAny(p.rest, ", \t")
		if end < 0 {
			end = len(p.rest)
		}
		value := p.rest[:end]
		p.rest = p.rest[end:]
		return value
	}
	var value strings.Builder
	for i := 0; i < len(quoted); i++ {
		switch {
		case quoted[i] == '"':
			p.rest = quoted[i+1:]
			return value.String()
		case quoted[i] == '\\' && i+1 < len(quoted):
			i++
		}
		value.WriteByte(quoted[i])
	}
	p.rest = ""
	return value.String()
}
