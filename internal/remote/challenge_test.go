// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	registrytypes "github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

func TestChallenges(t *testing.T) {
	none := map[string]string{}
	tests := []struct {
		name   string
		fields []string
		want   []challenge
	}{
		{"none", nil, nil},
		{"empty", []string{"", " , ,"}, nil},
		{"basic", []string{`Basic realm="a b"`}, []challenge{{"basic", map[string]string{"realm": "a b"}}}},
		{"bearer", []string{`Bearer realm="https://host/token?x=1",service=host,scope="repository:a:pull,push"`}, []challenge{
			{"bearer", map[string]string{"realm": "https://host/token?x=1", "service": "host", "scope": "repository:a:pull,push"}},
		}},
		{"any case, any space", []string{"BEARER  Realm = \"x\" ,\tSERVICE=y"}, []challenge{{"bearer", map[string]string{"realm": "x", "service": "y"}}}},
		{"two in one", []string{`Basic realm="a, b=c", Bearer realm="x"`}, []challenge{
			{"basic", map[string]string{"realm": "a, b=c"}}, {"bearer", map[string]string{"realm": "x"}},
		}},
		{"two in two", []string{`Bearer realm="x"`, `Basic`}, []challenge{{"bearer", map[string]string{"realm": "x"}}, {"basic", none}}},
		{"without parameters", []string{`Negotiate, NTLM, Basic realm=x`}, []challenge{{"negotiate", none}, {"ntlm", none}, {"basic", map[string]string{"realm": "x"}}}},
		{"escapes", []string{`Basic realm="a \"b\" \\ c"`}, []challenge{{"basic", map[string]string{"realm": `a "b" \ c`}}}},
		{"not quoted", []string{`Bearer realm=https://host/token,service=x`}, []challenge{{"bearer", map[string]string{"realm": "https://host/token", "service": "x"}}}},
		{"not ended", []string{`Bearer realm="x`}, []challenge{{"bearer", map[string]string{"realm": "x"}}}},
		{"of the field before", []string{`Basic`, `realm="x"`}, []challenge{{"basic", none}, {"realm", none}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := challenges(http.Header{"Www-Authenticate": test.fields})
			assert.Equal(t, len(got), len(test.want), "%v", got)
			for i := range got {
				assert.Equal(t, got[i].scheme, test.want[i].scheme)
				assert.DeepEqual(t, got[i].parameters, test.want[i].parameters)
			}
		})
	}
}

// TestFirstUsableChallenge has challenges around the registry's own that can't be
// answered: without a token server, with the address of none, of unknown schemes.
func TestFirstUsableChallenge(t *testing.T) {
	for _, other := range []string{
		`Bearer`, `Bearer error="x"`, `Bearer realm=""`, `Bearer realm="urn:x"`, `Bearer realm="http://%"`, `Bearer realm="file:///etc/passwd"`,
		`Negotiate YII==`, `Basic realm="x"`, `DPoP algs="ES256", Digest realm="a, Bearer b", nonce="x"`,
	} {
		for _, oneField := range []bool{true, false} {
			b := newBench(t)
			b.Auth = &fake.Auth{User: "user", Password: "hunter2", Before: []string{other}, After: []string{other}, OneField: oneField}
			request := b.request(t)
			request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
			_, err := b.pull(t.Context(), request)
			assert.NilError(t, err, "%s, one field %t", other, oneField)
		}
	}
	t.Run("basic after a token server that is refused", func(t *testing.T) {
		b := newBench(t)
		b.Auth = &fake.Auth{User: "user", Password: "hunter2", Basic: true, Before: []string{`Bearer realm="urn:x"`}}
		request := b.request(t)
		request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
		_, err := b.pull(t.Context(), request)
		assert.NilError(t, err)
	})
	t.Run("none", func(t *testing.T) {
		b := newBench(t)
		b.Auth = &fake.Auth{Realm: "urn:x"}
		_, err := b.pull(t.Context(), b.request(t))
		_, refused := find[*RedirectError](err)
		assert.Check(t, refused, "%v", err)
	})
}

// FuzzChallenges reads any field: each challenge has a scheme, and reading ends.
func FuzzChallenges(f *testing.F) {
	for _, field := range []string{`Bearer realm="x",service=y`, `a b=c, d e="f\"", g`, `=,=`, `"`, "x\x00=y"} {
		f.Add(field)
	}
	f.Fuzz(func(t *testing.T, field string) {
		for _, c := range challenges(http.Header{"Www-Authenticate": {field}}) {
			assert.Check(t, c.scheme != "" && c.parameters != nil)
		}
	})
}

func TestMergeScopes(t *testing.T) {
	const many = 10_000
	var actions, resources, again []string
	for i := range many {
		actions = append(actions, fmt.Sprint("a", i))
		resources = append(resources, fmt.Sprintf("repository:%d:pull", i))
		again = append(again, fmt.Sprintf("repository:%d:pull,push", many-1-i))
	}
	var both []string
	for i := range many {
		both = append(both, fmt.Sprintf("repository:%d:pull,push", i))
	}
	oneAction := func(action string) string { return "repository:a:" + action }
	tests := []struct {
		name   string
		scopes []string
		want   []string
	}{
		{"none", nil, nil},
		{
			"one resource twice, odd scopes",
			[]string{"repository:a:pull", "repository:b:pull", "repository:a:push,pull", "registry:catalog:*", "odd"},
			[]string{"repository:a:pull,push", "repository:b:pull", "registry:catalog:*", ":odd"},
		},
		{"the same action of two resources", []string{"a:b", "c:b", "a:b"}, []string{"a:b", "c:b"}},
		{"many scopes of one resource", mapped(append(actions, actions...), oneAction), []string{oneAction(strings.Join(actions, ","))}},
		{"many actions in one scope", []string{oneAction(strings.Join(append(actions, actions...), ","))}, []string{oneAction(strings.Join(actions, ","))}},
		{"many resources twice", append(resources, again...), both},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.DeepEqual(t, mergeScopes(test.scopes), test.want)
		})
	}
}

func mapped(all []string, change func(string) string) (changed []string) {
	for _, one := range all {
		changed = append(changed, change(one))
	}
	return changed
}

func BenchmarkMergeScopes(b *testing.B) {
	for _, count := range []int{1000, 10_000} {
		scopes := make([]string, count)
		for i := range scopes {
			scopes[i] = fmt.Sprint("repository:a:", i)
		}
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			for b.Loop() {
				mergeScopes(scopes)
			}
		})
	}
}
