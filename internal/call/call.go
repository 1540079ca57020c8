// Package call holds what a call is to the gateway: a method, metadata, and
// messages each way, joined by [Forward].
//
// The client's half of a call is a [grpc.ServerStream], whatever protocol the
// client spoke. The upstream's half is a [grpc.ClientConnInterface]. Between
// the two a message is its protobuf wire bytes and nothing else. The package
// knows neither HTTP nor JSON.
package call

import (
	"context"
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// Method is one RPC as served. It is built with the table and never written
// afterwards, so it may be shared by any number of calls.
type Method struct {
	// Name is the full method name as on the wire: "/shop.catalog.v1.CatalogService/GetProduct".
	Name string
	// Desc describes the RPC; nil means that its messages pass as opaque frames.
	Desc protoreflect.MethodDescriptor
	// Request returns the shape of its requests; nil where Desc is.
	Request func() *Shape
	// CheckRequests refuses requests that no backend can read, as the client's
	// mistake. Those that an edge has made of JSON always can be.
	CheckRequests bool
	// Stream tells which halves are streams, as grpc-go wants it for NewStream.
	Stream grpc.StreamDesc
	// Conn is the upstream inside this method's chain of policies.
	Conn grpc.ClientConnInterface
	// Upstream is the name of the upstream in the configuration.
	Upstream string
	// StreamIdle ends a streaming call in which no message passed either way
	// for this long. Zero means never.
	StreamIdle time.Duration
	// RequestWithin is how long a client may take to send the request where there is
	// exactly one. Edges refuse a later one as the client's fault. Zero sets no bound.
	RequestWithin time.Duration
}

// Unary reports whether both halves carry exactly one message.
func (m *Method) Unary() bool { return !m.Stream.ClientStreams && !m.Stream.ServerStreams }

// HasNoSideEffects reports whether the contract says that a call changes nothing, so that
// it may be made by HTTP's GET.
func (m *Method) HasNoSideEffects() bool {
	if m.Desc == nil {
		return false
	}
	options, _ := m.Desc.Options().(*descriptorpb.MethodOptions)
	return options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}

// check refuses a request of c that is not one of the method's, and notes one that
// not every library of protobuf reads.
func (m *Method) check(c *Call, msg *Message) error {
	if m == nil || !m.CheckRequests || m.Request == nil || c != nil && c.Transcoded {
		return nil
	}
	switch msg.ReadableAs(m.Request()) {
	case Unreadable:
		return Refuse(Client, codes.InvalidArgument,
			"the request is not a message of type %s: its bytes cannot be read as one", m.Desc.Input().FullName())
	case Debatable:
		if c != nil {
			c.debatable.Store(true)
		}
	case Readable:
	}
	return nil
}

// Protocol is what a client spoke, by the name that it has in logs and metrics. Each
// door has its own. The zero value is [InProcess].
type Protocol string

// The protocols that others than their doors know.
const (
	InProcess Protocol = ""
	REST      Protocol = "rest"
	GRPC      Protocol = "grpc"
)

// String gives the protocol as it stands in logs and metrics.
func (p Protocol) String() string {
	if p == InProcess {
		return "inprocess"
	}
	return string(p)
}

// Call is what is known of one call while it runs. The fields are set by the
// protocol's edge before the chain begins and only read afterwards; the
// counters may be used by any goroutine of the call.
type Call struct {
	Method    string    // full method name as asked for; "" if none was found
	Protocol  Protocol  // what the client spoke
	Binding   string    // HTTP method and path template, as "GET /v1/{name=products/*}"; "" on gRPC
	Upstream  string    // name of the exposure's upstream; "" if the call has none; see ServedBy
	Host      string    // that the client asked for, as believed; "" inside the process
	Scheme    string    // "http" or "https", that the client used, as believed; "" inside the process
	UserAgent string    // of the client, as it sent it; "" if none came
	Peer      string    // address of the client, as believed
	RequestID string    // identifies this call in logs on both sides
	TraceID   string    // of the W3C traceparent; "" if none came
	Start     time.Time // when the request was accepted

	Transcoded bool // the gateway wrote the request's wire bytes itself, of JSON: they can be read

	TLS *tls.ConnectionState // of the client's connection; nil in the clear. Read only.

	Table *Table // that serves the call; nil outside of a gateway

	Memory memory.Share // what the call holds of its client's memory, until Finish

	Sent metadata.MD // what the client sent, as an edge passes it on; nil inside the process. Read only.

	In  Counter // what the client sent
	Out Counter // what the client was sent

	httpStatus atomic.Int32
	attempts   atomic.Int32
	limit      atomic.Int64 // see PastLimit; Unix time in nanoseconds, 0 for none
	caller     atomic.Pointer[Caller]
	chosen     atomic.Pointer[string]

	request  func() (*Message, error) // nil where requests are a stream
	decoding sync.Once
	decoded  decoded
	// debatable tells that a request was checked which some backends cannot read.
	debatable atomic.Bool

	mu       sync.Mutex
	header   []string // pairs
	finished bool
	after    []func(error)
	room     [4]func(error) // of after, for the usual few

	headerRoom [8]string // of header, likewise

	places    []Place // see TakePlace; guarded by mu
	placeRoom [placeRoom]Place
	waited    bool // see Waited; guarded by mu

	outer *Call // that this one is made for; nil for none
}

// Counter counts messages and bytes as the client's protocol carries them:
// JSON on REST, wire bytes on gRPC.
type Counter struct {
	messages, bytes atomic.Int64
}

// Add counts one message of n bytes.
func (c *Counter) Add(n int) {
	c.messages.Add(1)
	c.bytes.Add(int64(n))
}

// Messages is the number of messages so far.
func (c *Counter) Messages() int64 { return c.messages.Load() }

// Bytes is the number of bytes so far.
func (c *Counter) Bytes() int64 { return c.bytes.Load() }

// SetHTTPStatus notes the HTTP status that was sent.
func (c *Call) SetHTTPStatus(code int) { c.httpStatus.Store(int32(code)) }

// HTTPStatus is the HTTP status that was sent, 0 for none.
func (c *Call) HTTPStatus() int { return int(c.httpStatus.Load()) }

// SetUpstream tells that another upstream than the exposure's was chosen. It is
// for what chooses, before the call goes on; name is kept and never written.
func (c *Call) SetUpstream(name *string) { c.chosen.Store(name) }

// ServedBy is the name of the upstream that serves the call: the one that was
// chosen, else the exposure's; "" if the call has none.
func (c *Call) ServedBy() string {
	if name := c.chosen.Load(); name != nil {
		return *name
	}
	return c.Upstream
}

// Hold is for work that goes on when the call has ended, such as a copy: the table
// that serves the call, and what that needs, stays until leave is called.
func (c *Call) Hold() (leave func()) {
	if c.Table == nil {
		return func() {}
	}
	c.Table.Hold()
	return c.Table.Leave
}

// AddAttempt counts an attempt at the upstream.
func (c *Call) AddAttempt() { c.attempts.Add(1) }

// Attempts is how many attempts at the upstream were begun, hedges included; 0
// where nothing that repeats them stands in the chain.
func (c *Call) Attempts() int { return int(c.attempts.Load()) }

// After has f called once with the call's outcome as the client saw it: after
// the answer was written. That is later than the end of the chain, and knows of
// answers that could not be translated or delivered. Functions run in reverse
// order.
func (c *Call) After(f func(error)) {
	c.mu.Lock()
	if !c.finished {
		if c.after == nil {
			c.after = c.room[:0]
		}
		c.after = append(c.after, f)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	f(context.Canceled)
}

// Finish ends the call. The edge that began it defers Finish, so that it is called
// when the answer has been written, and after a panic; only the first call counts.
func (c *Call) Finish(err error) {
	c.mu.Lock()
	after, again := c.after, c.finished
	c.after, c.finished = nil, true
	c.mu.Unlock()
	if again {
		return
	}
	defer c.Memory.Close()
	tell(after, err)
}

// tell calls the last function first. A panic in one goes on when all the others
// have run.
func tell(after []func(error), err error) {
	if n := len(after) - 1; n >= 0 {
		defer tell(after[:n], err)
		after[n](err)
	}
}
