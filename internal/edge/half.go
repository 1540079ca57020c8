package edge

import (
	"cmp"
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Half is the client's half of one call, as far as it is the same in every protocol.
// Each door embeds it in its [grpc.ServerStream], which adds how the protocol writes
// messages and errors. The life of a call at any door is
//
//	Begin        notes who calls, and under which identifiers
//	Run          has the door carry the call, and then answer the client
//	ServeRPC     finds the method that serves the call
//	SetOutgoing  sets the metadata for the backend
//
// and then [call.Forward], which reads and writes the messages. It is not safe for
// concurrent use, but for the counters and the memory of Call.
type Half struct {
	Settings *Settings
	Table    *Table
	// Call is what is known of the call, for policies and observers.
	Call call.Call
	// Method is the one that serves the call; nil until there is one.
	Method *call.Method
	// Version is the one that the method belongs to; nil is none.
	Version *Version

	ctx     context.Context    // ServerStream has a Context method
	cancel  context.CancelFunc // ends the client's deadline; nil for none
	trace   traceContext
	remote  string // address of the connection
	ownSent bool   // the gateway's own headers went out
}

// Begin notes what is known of a call before anything else is: when it came, from
// whom, and under which identifiers.
func (h *Half) Begin(ctx context.Context, s *Settings, t *Table, p call.Protocol, a *Arrival) {
	h.Settings, h.Table, h.remote = s, t, a.Remote
	c := &h.Call
	c.Table, c.Protocol, c.Start, c.TLS = t.Table, p, time.Now(), a.TLS
	c.Peer = s.peerOf(a.Remote, a.ForwardedFor)
	c.Host, c.Scheme = s.askedFor(a)
	c.UserAgent = a.UserAgent
	c.RequestID = s.requestID(a.RequestID)
	ctx = h.trace.read(ctx, a.TraceParent, a.TraceState)
	c.TraceID = h.trace.traceID()
	h.openMemory(a)
	h.ctx = call.With(ctx, c)
}

// openMemory has the call count with its client: that of the connection, or, where a
// trusted proxy has many on one connection, the one that it tells of.
func (h *Half) openMemory(a *Arrival) {
	c := &h.Call
	switch {
	case a.Connection == nil:
	case len(a.ForwardedFor) > 0 && c.Peer != a.Remote:
		c.Memory.Open(h.Settings.Memory.Behind(c.PeerNetwork().String()))
	default:
		c.Memory.Open(a.Connection.Client, nil)
	}
}

// Context is the call's. It carries the call, and from SetOutgoing on the metadata for the
// backend.
func (h *Half) Context() context.Context { return h.ctx }

// errUnanswered is the outcome of a call whose answer could not be made: the code
// that makes it panicked.
var errUnanswered = call.Refuse(call.Gateway, codes.Internal, "internal error")

// Run has carry take the call to its outcome, and answer tell the client. It returns
// the outcome. answer is the one place where a door makes its protocol's error of it.
// A panic in carry is an outcome too. Observers learn how the call ended also where
// answer panics, which is not recovered.
func (h *Half) Run(carry func() error, answer func(error)) error {
	var end error = errUnanswered
	defer func() {
		if h.cancel != nil {
			h.cancel()
		}
		h.Call.Finish(end)
	}()
	outcome := rescued(carry)
	if outcome != nil {
		end = outcome
	}
	answer(outcome)
	end = outcome
	return outcome
}

func rescued(carry func() error) (err error) {
	defer call.Rescue(&err)
	return carry()
}

// Refuse has observers see that the call ended at the door, with err. It returns err.
func (h *Half) Refuse(err error) error { return h.Table.Refuse(h.ctx, err) }

// ReserveHeader holds memory for a header of so many bytes, or refuses the call.
func (h *Half) ReserveHeader(bytes int) error {
	return call.MemoryError(h.Settings.Memory.Admit(&h.Call.Memory, bytes))
}

// ServeRPC finds the method that a call names by its full name, such as
// "/shop.catalog.v1.CatalogService/GetProduct". It refuses the call if there is none, or
// if the header names another version than the method belongs to. The header's names
// are as gRPC or as net/http has them.
func (h *Half) ServeRPC(name string, header map[string][]string) error {
	m := h.Table.Method(name)
	if m == nil {
		return call.Unknown(name)
	}
	v := h.Table.VersionOf[name]
	if v != nil {
		if err := v.agreeWith(header); err != nil {
			return err
		}
		h.Call.AddHeader(v.API.Header, v.Name)
	}
	h.serve(m, v)
	return nil
}

func (h *Half) serve(m *call.Method, v *Version) {
	h.Method, h.Version = m, v
	h.Call.Method, h.Call.Upstream = m.Name, m.Upstream
}

// SetOutgoing sets the metadata for the backend: md, which is the client's, and what the
// gateway itself adds. forwarded are the client's values of X-Forwarded-For.
func (h *Half) SetOutgoing(md metadata.MD, forwarded []string) {
	h.Version.Stamp(md)
	h.stamp(md, forwarded)
	h.Call.Sent = md
	h.ctx = metadata.NewOutgoingContext(h.ctx, md)
}

// stamp adds what the gateway itself says to backends.
func (h *Half) stamp(md metadata.MD, forwarded []string) {
	s, c := h.Settings, &h.Call
	hop := hostOf(h.remote)
	if len(forwarded) > 0 && s.trusted(call.Address(h.remote)) {
		if chain := joined(forwarded); !call.Printable(chain) {
			s.drop(UnfitValue)
		} else {
			hop = chain + ", " + hop
		}
	}
	values := [...]string{hop, c.RequestID, h.trace.child(c), c.Host, c.UserAgent}
	md["x-forwarded-for"] = values[0:1:1]
	md["x-request-id"] = values[1:2:2]
	md["traceparent"] = values[2:3:3]
	h.trace.pass(md)
	md["x-forwarded-proto"] = headerHTTP
	if c.Scheme == schemeHTTPS {
		md["x-forwarded-proto"] = headerHTTPS
	}
	s.quote(md, "x-forwarded-host", values[3:4:4])
	s.quote(md, cmp.Or(h.Table.UserAgentKey, call.UserAgent), values[4:5:5])
}

// OwnHeader is what the gateway's policies add to the answer. It is given out once.
func (h *Half) OwnHeader() metadata.MD {
	if h.ownSent {
		return nil
	}
	h.ownSent = true
	return h.Call.Header()
}
