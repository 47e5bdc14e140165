// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"github.com/dovetailhq/plugin/internal/class"
)

// remote is the reference in a request to pull or upgrade.
type remote struct {
	// ref is fetched. It has a digest or a tag, not both.
	ref reference.Named
	// tag is the tag that stood next to a digest. The digest decides what is
	// fetched; the tag only names the plugin here.
	tag string
}

// parseRemote parses NAME[:TAG][@DIGEST]. The default tag of a reference with
// neither is latest.
func parseRemote(value string) (remote, error) {
	ref, err := reference.ParseNormalizedNamed(value)
	if err != nil {
		return remote{}, class.InvalidParameter(fmt.Errorf("parse remote %q: %w", withoutAccount(value), err))
	}
	canonical, ok := ref.(reference.Canonical)
	if !ok {
		return remote{ref: reference.TagNameOnly(ref)}, nil
	}
	tagged, ok := ref.(reference.NamedTagged)
	if !ok {
		return remote{ref: canonical}, nil
	}
	bare, err := reference.WithDigest(reference.TrimNamed(ref), canonical.Digest())
	if err != nil {
		return remote{}, class.InvalidParameter(fmt.Errorf("parse remote %q: %w", withoutAccount(value), err))
	}
	return remote{ref: bare, tag: tagged.Tag()}, nil
}

// withoutAccount removes the user and password in front of a host. References
// have none, but a user can paste an address that has, and errors must not
// repeat them.
func withoutAccount(value string) string {
	rest := value
	scheme, address, isAddress := strings.Cut(value, "://")
	if isAddress {
		rest, scheme = address, scheme+"://"
	} else {
		scheme = ""
	}
	host, _, _ := strings.Cut(rest, "/")
	at := strings.LastIndex(host, "@")
	if at < 0 || strings.HasPrefix(host[at:], "@sha256:") || strings.HasPrefix(host[at:], "@sha512:") {
		return value
	}
	return scheme + "..." + rest[at:]
}

// localName returns the name to install the plugin under, in familiar form and
// always with a tag. It is alias, if given, and else the remote's own name. A
// plugin is never named by a digest, because an upgrade changes the digest.
func (r remote) localName(alias string) (string, error) {
	if alias == "" {
		return r.ownName()
	}
	if err := refuseDigest(alias); err != nil {
		return "", err
	}
	ref, err := reference.ParseNormalizedNamed(alias)
	if err != nil {
		return "", class.InvalidParameter(fmt.Errorf("parse name %q: %w", withoutAccount(alias), err))
	}
	return reference.FamiliarString(reference.TagNameOnly(ref)), nil
}

func (r remote) ownName() (string, error) {
	if _, ok := r.ref.(reference.Canonical); !ok {
		return reference.FamiliarString(r.ref), nil
	}
	named := reference.TrimNamed(r.ref)
	if r.tag == "" {
		return reference.FamiliarString(reference.TagNameOnly(named)), nil
	}
	tagged, err := reference.WithTag(named, r.tag)
	if err != nil {
		return "", class.InvalidParameter(fmt.Errorf("name %s: %w", r.ref, err))
	}
	return reference.FamiliarString(tagged), nil
}

// refuseDigest refuses a plugin name with a digest. Text that is not a reference
// can still be an ID; the backend decides.
func refuseDigest(name string) error {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil
	}
	if _, ok := ref.(reference.Canonical); ok {
		return class.InvalidParameter(fmt.Errorf("name %q: %w", name, errDigestInName))
	}
	return nil
}

var errDigestInName = errors.New("cannot use digest in plugin tag")
