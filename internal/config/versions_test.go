package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/config"
)

func TestDefaultsOfVersions(t *testing.T) {
	t.Parallel()
	got := printed(t, parse(t, minimal+"versions: [{name: catalog, list: [{name: v1, select: [\"shop.catalog.v1.*\"]}]}]\n"))
	for path, want := range map[string]string{"versions.header": "x-api-version", "versions.media_type_parameter": "version", "versions.default": ""} {
		if got[path] != want {
			t.Errorf("%s: default %q, want %q", path, got[path], want)
		}
	}
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"2026-01-01": 1767225600, "2026-01-01T00:00:00Z": 1767225600, "2026-01-01T01:00:00+01:00": 1767225600, "2026-01-01T00:00:00.5Z": 1767225600,
	} {
		if got, err := config.ParseDate(text); err != nil || got.Unix() != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2026", "2026-1-1", "2026-02-30", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "1767225600", "Thu, 01 Jan 2026 00:00:00 GMT"} {
		if got, err := config.ParseDate(text); err == nil || !strings.Contains(err.Error(), "2026-01-31") {
			t.Errorf("%q: got %v, %v, want an error with an example", text, got.Format(time.RFC3339), err)
		}
	}
}
