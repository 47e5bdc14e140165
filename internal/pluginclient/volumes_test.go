// SPDX-License-Identifier: Apache-2.0

package pluginclient

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestAnswersAboutVolumesAreChecked(t *testing.T) {
	name := strings.Repeat("x", maxText)
	const long = "has a name or a mountpoint of more than 4096 bytes"
	for _, tc := range []struct {
		name, method, text, want string
	}{
		{"volumes", listMethod, `{"Volumes":[{"Name":"a"},{}]}`, ""},
		{"nothing", listMethod, `{}`, ""},
		{"no JSON", listMethod, `[`, "decode the plugin's answer"},
		{"another type", listMethod, `{"Volumes":1}`, "decode the plugin's answer"},
		{"null", listMethod, `{"Volumes":[{},null]}`, "has a volume that is null"},
		{"null in a row of lists", listMethod, `{"volumes":[null]} {}`, "has a volume that is null"},
		{"most", listMethod, `{"Volumes":[{}` + strings.Repeat(",{}", MaxListedVolumes-1) + `]}`, ""},
		{"too many", listMethod, `{"Volumes":[{}` + strings.Repeat(",{}", MaxListedVolumes) + `]}`, tooLong(listMethod).Error()},
		{"a long name", listMethod, `{"Volumes":[{},{"name":"` + name + `x"}]}`, long},
		{"a long mountpoint", listMethod, `{"Volumes":[{"Mountpoint":"` + name + `x"}]}`, long},
		{"a long error", listMethod, `{"Err":"` + strings.Repeat("x", MaxShortAnswer+1) + `"}`, tooLong(listMethod).Error()},
		{"one volume", getMethod, `{"Volume":{"Name":"` + name + `"}}`, ""},
		{"one volume of a long name", getMethod, `{"Volume":{"Name":"` + name + `x"}}`, long},
		{"one volume that is null", getMethod, `{"Volume":null}`, ""}, // an error in docker's volume service
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := checked(t, tc.method, tc.text)
			if tc.want != "" {
				assert.ErrorContains(t, err, tc.want)
				return
			}
			assert.NilError(t, err)
			assert.Equal(t, got, tc.text)
		})
	}
}

// TestFieldsOfOtherAnswersHideNothing puts fields that docker's volume service ignores,
// with values of any type, before and after values that it must not get.
func TestFieldsOfOtherAnswersHideNothing(t *testing.T) {
	long := `{"Name":"` + strings.Repeat("x", maxText+1) + `"}`
	for method, fields := range map[string]struct {
		bad     []string
		ignored string
	}{
		listMethod: {[]string{`"Volumes":[null]`, `"Volumes":[` + long + `]`, `"VOLUMES":[{},null]`}, "Volume"},
		getMethod:  {[]string{`"Volume":` + long}, "Volumes"},
	} {
		for _, bad := range fields.bad {
			for _, value := range []string{"1", "null", "[1]", "{}", `"x"`, `[null]`, `{"Name":1}`} {
				other := `"` + fields.ignored + `":` + value
				for _, text := range []string{"{" + bad + "," + other + "}", "{" + other + "," + bad + "}"} {
					_, err := checked(t, method, text)
					assert.Check(t, err != nil, "%.60s", text)
				}
				_, err := checked(t, method, "{"+other+"}")
				assert.Check(t, err, "%s", other)
			}
		}
	}
}

func checked(t *testing.T, method, text string) (string, error) {
	t.Helper()
	room := NewRoom(make(chan struct{}, 1))
	answer := newBoundedAnswer(t.Context(), io.NopCloser(strings.NewReader(text)), method, MaxAnswer, Options{Room: room, TooLong: tooLong})
	body := &volumesAnswer{boundedAnswer: answer}
	defer body.Close()
	got, err := io.ReadAll(body)
	return string(got), err
}

func TestLimitOf(t *testing.T) {
	for _, tc := range []struct {
		method string
		status int
		want   int64
	}{
		{listMethod, http.StatusOK, MaxAnswer},
		{getMethod, http.StatusOK, MaxShortAnswer},
		{getMethod, http.StatusInternalServerError, MaxShortAnswer},
		{"VolumeDriver.Path", http.StatusOK, MaxShortAnswer},
		{"NetworkDriver.CreateNetwork", http.StatusOK, MaxAnswer},
		{"NetworkDriver.CreateNetwork", http.StatusBadRequest, MaxShortAnswer},
	} {
		assert.Check(t, is.Equal(limitOf(tc.method, tc.status), tc.want), "%s, %d", tc.method, tc.status)
	}
}
