package gateway

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// newLines is newLog for the lines of calls, of which there are many: it writes
// what slog's own handlers write, and the usual line in less time.
func newLines(l *configv1.Log, to io.Writer) *slog.Logger {
	return slog.New(&lines{
		Handler: newLog(l, to).Handler(),
		to:      to,
		json:    l.GetFormat() == configv1.Log_FORMAT_JSON,
	})
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
	buf := lineBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer lineBuffers.Put(buf)
	line, ok := h.append((*buf)[:0], &r)
	*buf = line
	if !ok {
		return h.Handler.Handle(ctx, r)
	}
	_, err := h.to.Write(line)
	return err
}

// append writes the record, or reports that it is not plain.
func (h *lines) append(b []byte, r *slog.Record) ([]byte, bool) {
	if h.json {
		b = append(b, `{"time":"`...)
		b = r.Time.AppendFormat(b, time.RFC3339Nano)
		b = append(b, `","level":"`...)
		b = append(b, r.Level.String()...)
		b = append(b, `","msg":"`...)
		b = append(b, r.Message...)
		b = append(b, '"')
	} else {
		b = append(b, "time="...)
		b = r.Time.AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
		b = append(b, " level="...)
		b = append(b, r.Level.String()...)
		b = append(b, " msg="...)
		b = append(b, r.Message...)
	}
	ok := r.PC == 0 && plain(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		b, ok = h.attr(b, a, ok)
		return ok
	})
	if h.json {
		b = append(b, '}')
	}
	return append(b, '\n'), ok
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
	if !h.json {
		return append(b, s...), plain(s)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"'), plainJSON(s)
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
