package logging

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// FuzzLines holds the lines of calls against those of slog's own handlers.
func FuzzLines(f *testing.F) {
	f.Add("peer", "127.0.0.1:1", int64(7), int64(1732500000123456789))
	f.Add("binding", "GET /v1/{name=shelves/*}", int64(-1), int64(0))
	f.Add("error", "say \"no\"\n", int64(1<<62), int64(1))
	f.Add("", "", int64(0), int64(-1))
	f.Add("a b", "é<>&\u2028\x7f\xff", int64(0), int64(1e9))
	f.Add("key", "a=b", int64(3), int64(1_000_000))
	f.Add("key", `a\b`, int64(3), int64(1_000_000))
	f.Add("key", `GET /v1 "\"`, int64(3), int64(1_000_000))
	f.Fuzz(func(t *testing.T, key, text string, n, nanos int64) {
		for _, format := range []configv1.Log_Format{configv1.Log_FORMAT_JSON, configv1.Log_FORMAT_TEXT} {
			var got, want bytes.Buffer
			conf := &configv1.Log{Format: format}
			r := slog.NewRecord(time.Unix(0, nanos).UTC(), slog.LevelWarn, "call", 0)
			r.AddAttrs(slog.String(key, text), slog.Int64("n", n), slog.Duration("d", time.Duration(n)), slog.String("text", key))
			for to, h := range map[*bytes.Buffer]slog.Handler{
				&got: newLines(conf, &got), &want: newHandler(conf, &want),
			} {
				if err := h.Handle(context.Background(), r); err != nil {
					t.Fatal(err)
				}
				if to.Len() == 0 {
					t.Fatal("no line was written")
				}
			}
			if got.String() != want.String() {
				t.Errorf("%v: got  %swant %s", format, got.String(), want.String())
			}
		}
	})
}

func TestUsualLineAllocatesNothing(t *testing.T) {
	for _, format := range []configv1.Log_Format{configv1.Log_FORMAT_JSON, configv1.Log_FORMAT_TEXT} {
		lines := newLines(&configv1.Log{Format: format}, discard{})
		attrs := []slog.Attr{slog.String("method", "/shop.v1.Catalog/GetShelf"), slog.String("binding", "GET /v1/shelves"), slog.Int64("bytes_in", 7)}
		if got := testing.AllocsPerRun(100, func() { lines.Line(time.Now(), slog.LevelInfo, "call", attrs) }); got > 0 {
			t.Errorf("%v: %v allocations, want 0", format, got)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
