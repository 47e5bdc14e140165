package plugin

import (
	"slices"
	"strings"

	"github.com/distribution/reference"

	v2 "github.com/dovetailhq/plugin/v2"
)

// GetV2Plugin looks a managed plugin up, enabled or not: by its id, by its
// name, of which the default registry and tag may be left out and which may
// have the digest that was pulled or that of the manifest, or by a prefix of
// its id that no other plugin shares. Errors: [NotFoundError],
// [AmbiguousError], [BrokenError].
func (ps *Store) GetV2Plugin(refOrID string) (*v2.Plugin, error) {
	id, err := ps.resolve(refOrID)
	if err != nil {
		return nil, err
	}
	ps.RLock()
	defer ps.RUnlock()
	if p, ok := ps.plugins[id]; ok {
		return p, nil
	}
	if reason, ok := ps.broken[id]; ok {
		return nil, &BrokenError{ID: id, Err: reason}
	}
	return nil, &NotFoundError{Ref: refOrID} // removed meanwhile
}

// resolve returns the id of the plugin that a reference names, broken ones
// included: what is ambiguous among all plugins is ambiguous for every verb.
func (ps *Store) resolve(refOrID string) (id string, err error) {
	if id, ok := ps.exact(refOrID); ok {
		return id, nil
	}
	named, err := reference.ParseNormalizedNamed(refOrID)
	if err != nil {
		return ps.byPrefix(refOrID)
	}
	if canonical, ok := named.(reference.Canonical); ok {
		return ps.byDigest(refOrID, canonical)
	}
	if id, ok := ps.exact(reference.FamiliarString(reference.TagNameOnly(named))); ok {
		return id, nil
	}
	return ps.byPrefix(refOrID)
}

func (ps *Store) exact(idOrName string) (id string, ok bool) {
	ps.RLock()
	defer ps.RUnlock()
	if ps.hasLocked(idOrName) {
		return idOrName, true
	}
	if p, ok := ps.names[idOrName]; ok {
		return p.GetID(), true
	}
	return "", false
}

// byDigest finds the one plugin of a repository, and of a tag if there is one,
// that has a digest.
func (ps *Store) byDigest(ref string, wanted reference.Canonical) (id string, err error) {
	ps.RLock()
	defer ps.RUnlock()
	isNamed := func(name string) bool { return strings.HasPrefix(name, reference.FamiliarName(wanted)+":") }
	if tagged, ok := wanted.(reference.Tagged); ok {
		isNamed = func(name string) bool { return name == reference.FamiliarName(wanted)+":"+tagged.Tag() }
	}
	for _, p := range ps.digests[wanted.Digest()] {
		if !isNamed(p.Name()) {
			continue
		}
		if id != "" {
			return "", &AmbiguousError{Ref: ref}
		}
		id = p.GetID()
	}
	if id == "" {
		return "", &NotFoundError{Ref: ref}
	}
	return id, nil
}

func (ps *Store) byPrefix(prefix string) (id string, err error) {
	ps.RLock()
	defer ps.RUnlock()
	i, _ := slices.BinarySearch(ps.ids, prefix)
	if prefix == "" || i == len(ps.ids) || !strings.HasPrefix(ps.ids[i], prefix) {
		return "", &NotFoundError{Ref: prefix}
	}
	if i+1 < len(ps.ids) && strings.HasPrefix(ps.ids[i+1], prefix) {
		return "", &AmbiguousError{Ref: prefix}
	}
	return ps.ids[i], nil
}
