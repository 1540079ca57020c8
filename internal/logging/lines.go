package logging

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// newLines is newHandler for the lines of calls, of which there are many: it
// writes what slog's own handlers write, and the usual line in less time.
func newLines(conf *configv1.Log, to io.Writer) *lines {
	return &lines{
		Handler: newHandler(conf, to),
		to:      to,
		json:    conf.GetFormat() == configv1.Log_FORMAT_JSON,
	}
}

// lines writes plain records itself and leaves all others to slog's handler.
type lines struct {
	slog.Handler
	to   io.Writer
	json bool
}

var lineBuffers = sync.Pool{New: func() any { return new(make([]byte, 0, 1<<10)) }}

// Handle writes one record.
func (h *lines) Handle(ctx context.Context, r slog.Record) error {
	if r.PC != 0 {
		return h.Handler.Handle(ctx, r)
	}
	attrs := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	h.Line(r.Time, r.Level, r.Message, attrs)
	return nil
}

// Line writes the line of a record that has no more than this.
func (h *lines) Line(t time.Time, level slog.Level, message string, attrs []slog.Attr) {
	buf := lineBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer lineBuffers.Put(buf)
	line := h.head((*buf)[:0], t, level, message)
	ok := plain(message)
	for _, a := range attrs {
		if line, ok = h.attr(line, a, ok); !ok {
			break
		}
	}
	if h.json {
		line = append(line, '}')
	}
	line = append(line, '\n')
	if *buf = line; ok {
		_, _ = h.to.Write(line) // there is nobody to tell
		return
	}
	r := slog.NewRecord(t, level, message, 0)
	r.AddAttrs(attrs...)
	_ = h.Handler.Handle(context.Background(), r) // likewise
}

// head is what all lines begin with.
func (h *lines) head(b []byte, t time.Time, level slog.Level, message string) []byte {
	if h.json {
		b = append(b, `{"time":"`...)
		b = t.AppendFormat(b, time.RFC3339Nano)
		b = append(b, `","level":"`...)
		b = append(b, level.String()...)
		b = append(b, `","msg":"`...)
		b = append(b, message...)
		return append(b, '"')
	}
	b = append(b, "time="...)
	b = t.AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, " level="...)
	b = append(b, level.String()...)
	b = append(b, " msg="...)
	return append(b, message...)
}

func (h *lines) attr(b []byte, a slog.Attr, ok bool) ([]byte, bool) {
	if !ok || !plain(a.Key) {
		return b, false
	}
	if h.json {
		b = append(b, ',', '"')
		b = append(b, a.Key...)
		b = append(b, '"', ':')
	} else {
		b = append(b, ' ')
		b = append(b, a.Key...)
		b = append(b, '=')
	}
	switch a.Value.Kind() {
	case slog.KindInt64:
		return strconv.AppendInt(b, a.Value.Int64(), 10), true
	case slog.KindDuration:
		if h.json {
			return strconv.AppendInt(b, int64(a.Value.Duration()), 10), true
		}
		return append(b, a.Value.Duration().String()...), true
	case slog.KindString:
		return h.text(b, a.Value.String())
	default:
		return b, false
	}
}

func (h *lines) text(b []byte, s string) ([]byte, bool) {
	switch {
	case h.json:
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"'), plainJSON(s)
	case plain(s):
		return append(b, s...), true
	default: // as slog quotes what it must
		return strconv.AppendQuote(b, s), quotable(s)
	}
}

// plain reports whether neither form would quote or escape s.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ', c > '~', c == '"', c == '\\', c == '=':
			return false
		}
	}
	return s != ""
}

// plainJSON reports whether JSON would escape nothing of s.
func plainJSON(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// quotable reports whether s is of printable ASCII without backslashes, which slog
// quotes only beside others.
func quotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}
