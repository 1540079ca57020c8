package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"

	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// versions checks what APIs say of their versions. Which RPCs they have is for
// who has the contracts to check.
func (c *checker) versions(all []*configv1.Versions) {
	apis := map[string]int{}
	for i, v := range all {
		path := fmt.Sprintf("versions[%d]", i)
		if before, taken := apis[v.GetName()]; taken && v.GetName() != "" {
			c.fail(path+".name", "%s is the name of versions[%d] too; give each API a name of its own", c.quoted(path+".name", v.GetName()), before)
		} else {
			apis[v.GetName()] = i
		}
		c.token(path+".header", v.GetHeader(), "x-api-version")
		if name := strings.ToLower(v.GetHeader()); slices.Contains(takenHeaders, name) || strings.HasPrefix(name, "grpc-") {
			c.fail(path+".header", "%s has a meaning of its own; take another, such as \"x-api-version\"", c.quoted(path+".header", v.GetHeader()))
		}
		c.token(path+".media_type_parameter", v.GetMediaTypeParameter(), "version")
		if name := strings.ToLower(v.GetMediaTypeParameter()); slices.Contains([]string{"q", "charset", "boundary"}, name) {
			c.fail(path+".media_type_parameter", "%s has a meaning of its own; take another, such as \"version\"", c.quoted(path+".media_type_parameter", v.GetMediaTypeParameter()))
		}
		c.versionList(path, v)
	}
}

// takenHeaders say other things of requests or answers.
var takenHeaders = []string{
	"accept", "accept-encoding", "accept-language", "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie",
	"deprecation", "expect", "host", "keep-alive", "link", "origin", "referer", "sunset", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
	"vary", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "traceparent", "tracestate",
}

func (c *checker) versionList(path string, api *configv1.Versions) {
	var names []string
	for i, v := range api.GetList() {
		at := fmt.Sprintf("%s.list[%d]", path, i)
		for j, other := range names {
			if strings.EqualFold(other, v.GetName()) && other != "" {
				c.fail(at+".name", "%s is the name of %s.list[%d] too, but for case; give each version a name of its own", c.quoted(at+".name", v.GetName()), path, j)
			}
		}
		names = append(names, v.GetName())
		c.deprecation(at+".deprecation", v.GetDeprecation())
	}
	if d := api.GetDefault(); d != "" && !slices.Contains(names, d) {
		hint := nearest.DidYouMean(d, names)
		if hint == "" {
			hint = "; there are " + strings.Join(names, ", ")
		}
		c.fail(path+".default", "%s is no version of the list%s", c.quoted(path+".default", d), hint)
	}
}

func (c *checker) deprecation(path string, d *configv1.Deprecation) {
	if d == nil {
		return
	}
	date, ok := c.date(path+".date", d.GetDate())
	sunset, known := c.date(path+".sunset", d.GetSunset())
	if ok && known && sunset.Before(date) {
		c.fail(path+".sunset", "%s is before date, %s; first it is deprecated, then it ends", c.quoted(path+".sunset", d.GetSunset()), c.quoted(path+".date", d.GetDate()))
	}
	c.reference(path+".link", d.GetLink())
	c.reference(path+".successor", d.GetSuccessor())
}

func (c *checker) date(path, text string) (time.Time, bool) {
	if text == "" {
		return time.Time{}, false
	}
	at, err := ParseDate(text)
	if err != nil {
		c.fail(path, "%s %v", c.quoted(path, text), err)
	}
	return at, err == nil
}

// ParseDate reads a day, which begins at midnight UTC, or a moment (RFC 3339).
// Its errors go on after the text.
func ParseDate(text string) (time.Time, error) {
	for _, layout := range [...]string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errors.New(`is no date; want such as "2026-01-31" or "2026-01-31T12:00:00Z"`)
}

// reference refuses what cannot stand as a link in a header: anything but a URL
// or a path of this gateway.
func (c *checker) reference(path, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	whole := err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
	local := err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(u.Path, "/")
	if !whole && !local || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("<>\"\\", r) }) {
		c.fail(path, "%s is no link; want such as \"https://shop.example/v1-goes\" or \"/v2/products\"", c.quoted(path, text))
	}
}

// token refuses what is no name of a header or parameter (RFC 9110, section
// 5.6.2).
func (c *checker) token(path, name, example string) {
	if strings.ContainsFunc(name, func(r rune) bool {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}) {
		c.fail(path, "%s is not a name; want letters, digits and \"-\", such as %q", c.quoted(path, name), example)
	}
}
