package engineapi

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// remote is the reference in a request to pull or to upgrade.
type remote struct {
	// ref is what is fetched: it has a digest, or else a tag.
	ref reference.Named
	// tag is what stood beside the digest. The digest decides what is
	// fetched; the tag only names it here.
	tag string
}

// parseRemote reads NAME[:TAG][@DIGEST], with latest as the default tag of a
// reference that has neither.
func parseRemote(value string) (remote, error) {
	ref, err := reference.ParseNormalizedNamed(value)
	if err != nil {
		return remote{}, invalid(fmt.Errorf("parse remote %q: %w", withoutAccount(value), err))
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
		return remote{}, invalid(fmt.Errorf("parse remote %q: %w", withoutAccount(value), err))
	}
	return remote{ref: bare, tag: tagged.Tag()}, nil
}

// withoutAccount leaves out the user and password that somebody put before a
// host, as in an address: no reference has them, and no error should.
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

// localName returns the name to install the plugin under, in familiar form
// and always with a tag: alias if there is one, or else the remote's own. A
// plugin is never named by a digest, for an upgrade changes that.
func (r remote) localName(alias string) (string, error) {
	if alias == "" {
		return r.ownName()
	}
	if err := refuseDigest(alias); err != nil {
		return "", err
	}
	ref, err := reference.ParseNormalizedNamed(alias)
	if err != nil {
		return "", invalid(fmt.Errorf("parse name %q: %w", withoutAccount(alias), err))
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
		return "", invalid(fmt.Errorf("name %s: %w", r.ref, err))
	}
	return reference.FamiliarString(tagged), nil
}

// refuseDigest refuses a plugin name with a digest. What is no reference at
// all may be an id and is the backend's to judge.
func refuseDigest(name string) error {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil
	}
	if _, ok := ref.(reference.Canonical); ok {
		return invalid(fmt.Errorf("name %q: %w", name, errDigestInName))
	}
	return nil
}

var errDigestInName = errors.New("cannot use digest in plugin tag")
