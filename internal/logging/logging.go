// Package logging writes the gateway's log: its own lines and those of calls. A
// line is queued, and one goroutine writes what waits, many lines at once. Nobody
// else ever waits for the reader of the log, unless the configuration says so.
package logging

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
)

// Log is the log of one gateway. It is safe for concurrent use and must be
// closed.
type Log struct {
	queue *queue
	peers *peers
	own   *slog.Logger
	calls *slog.Logger
}

// New begins a log that goes to to. It registers with reg:
//
//	gatehouse_log_dropped_lines_total{reason}
//	gatehouse_log_waiting_bytes
//
// The reason is "full" for lines that found no room in the queue, "failed" for
// those that could not be written, and "peer" for those that were too many from
// one peer.
func New(conf *configv1.Log, to io.Writer, reg prometheus.Registerer) (*Log, error) {
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_log_dropped_lines_total", Help: "Lines that were not written to the log, by the reason.",
	}, []string{"reason"})
	l := &Log{queue: newQueue(to, conf.GetWhenFull() == configv1.Log_WHEN_FULL_WAIT, func(lines uint64) []byte {
		return sumLine(conf, slog.LevelWarn, "lines of the log were lost", slog.Uint64("lines", lines))
	})}
	l.queue.full, l.queue.failed = dropped.WithLabelValues("full"), dropped.WithLabelValues("failed")
	l.peers = newPeers(int(conf.GetPeerLines()), dropped.WithLabelValues("peer"), func(s sum) {
		l.queue.push(sumLine(conf, slog.LevelInfo, "suppressed lines of a peer", s.attrs()...), true)
	})
	l.own = slog.New(&own{newHandler(conf, urgent{l.queue}), l.peers, ""})
	l.calls = slog.New(newLines(conf, patient{l.queue}))
	waiting := collect.Gauge("gatehouse_log_waiting_bytes", "Bytes of the log that wait to be written; there is room for 4 MiB.", l.queue.waitingBytes)
	if err := collect.Register(reg, dropped, waiting); err != nil {
		return nil, err
	}
	go l.queue.run()
	return l, nil
}

// Own is for what the gateway itself has to say. Its lines are written at once, in
// order with those of calls.
func (l *Log) Own() *slog.Logger { return l.own }

// Calls is for one line a call; these may wait a moment to be written together.
func (l *Log) Calls() *slog.Logger { return l.calls }

// Admit reports whether a line about a call that its peer failed may be written:
// the lines of one peer are bounded, and those that are not written are counted
// and told as a sum.
func (l *Log) Admit(peer string) bool { return l.peers.admit(peer, ofCalls) }

// Flush returns when all lines so far are written, or after the bound.
func (l *Log) Flush(bound time.Duration) { l.queue.flush(bound) }

// StopWaiting ends the waiting for room after the bound, for good: lines that find
// none are dropped then.
func (l *Log) StopWaiting(bound time.Duration) { l.queue.stopWaiting(bound) }

// Close writes what waits, within the bound. Lines that come later are dropped.
func (l *Log) Close(bound time.Duration) {
	l.peers.close()
	l.queue.close(bound)
}

// own bounds the gateway's own lines that tell of one peer: those in the context
// of a call, and those with the attribute "peer".
type own struct {
	slog.Handler
	peers *peers
	peer  string // of With
}

const peerKey = "peer"

// Handle queues one line.
func (h *own) Handle(ctx context.Context, r slog.Record) error {
	if peer := h.peerOf(ctx, &r); peer != "" && !h.peers.admit(peer, ofGateway) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h *own) peerOf(ctx context.Context, r *slog.Record) string {
	peer := h.peer
	if c := call.From(ctx); peer == "" && c != nil {
		peer = c.Peer
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != peerKey {
			return true
		}
		peer = a.Value.String()
		return false
	})
	return peer
}

// WithAttrs is a handler with attributes.
func (h *own) WithAttrs(attrs []slog.Attr) slog.Handler {
	peer := h.peer
	for _, a := range attrs {
		if a.Key == peerKey {
			peer = a.Value.String()
		}
	}
	return &own{h.Handler.WithAttrs(attrs), h.peers, peer}
}

// WithGroup is a handler with a group.
func (h *own) WithGroup(name string) slog.Handler {
	return &own{h.Handler.WithGroup(name), h.peers, h.peer}
}

// urgent and patient are the queue as a writer of lines.
type (
	urgent  struct{ *queue }
	patient struct{ *queue }
)

func (u urgent) Write(line []byte) (int, error) {
	u.push(line, true)
	return len(line), nil
}

func (p patient) Write(line []byte) (int, error) {
	p.push(line, false)
	return len(line), nil
}

// newHandler forms lines as configured and writes each to to.
func newHandler(conf *configv1.Log, to io.Writer) slog.Handler {
	levels := map[configv1.Log_Level]slog.Level{
		configv1.Log_LEVEL_DEBUG: slog.LevelDebug, configv1.Log_LEVEL_WARN: slog.LevelWarn, configv1.Log_LEVEL_ERROR: slog.LevelError,
	}
	options := &slog.HandlerOptions{Level: levels[conf.GetLevel()]} // else the zero level, info
	if conf.GetFormat() == configv1.Log_FORMAT_JSON {
		return slog.NewJSONHandler(to, options)
	}
	return slog.NewTextHandler(to, options)
}
