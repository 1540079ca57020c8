package hostile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"google.golang.org/protobuf/encoding/protowire"
)

// Backend is the server behind the gateway. It lives in the process of the tests,
// so what it holds is not counted as the gateway's.
type Backend struct {
	Address string

	server   *grpc.Server
	executed atomic.Int64
	sent     atomic.Int64
	vary     atomic.Pointer[string]
	hangs    atomic.Bool
	over     chan struct{}
	mu       sync.Mutex
	calls    map[string]int // by RPC
	bounded  map[string]int // those with a deadline
}

func startBackend() (*Backend, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &Backend{Address: l.Addr().String(), over: make(chan struct{}), calls: map[string]int{}, bounded: map[string]int{}}
	b.server = grpc.NewServer(grpc.UnknownServiceHandler(b.handle), grpc.ForceServerCodecV2(raw{}), grpc.MaxRecvMsgSize(64<<20))
	go func() { _ = b.server.Serve(hangable{l, b}) }() // ends with Stop
	return b, nil
}

func (b *Backend) stop() {
	close(b.over)
	b.server.Stop()
}

// Hang has the backend answer nothing more, as a process does that is stopped: the
// system takes what it is sent.
func (b *Backend) Hang() { b.hangs.Store(true) }

// VaryBy has the backend say that its answers differ by a header.
func (b *Backend) VaryBy(header string) { b.vary.Store(&header) }

// hangable makes connections on which the backend can hang.
type hangable struct {
	net.Listener
	backend *Backend
}

func (l hangable) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return hangableConn{c, l.backend}, err
}

type hangableConn struct {
	net.Conn
	backend *Backend
}

func (c hangableConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.backend.hangs.Load() {
		<-c.backend.over
		return 0, net.ErrClosed
	}
	return n, err
}

func (c hangableConn) Write(p []byte) (int, error) {
	if c.backend.hangs.Load() {
		<-c.backend.over
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// Calls returns how often the backend was called, by the RPC's name.
func (b *Backend) Calls(rpc string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[rpc]
}

// Sent returns how many messages of streams were sent.
func (b *Backend) Sent() int64 { return b.sent.Load() }

// Bounded returns how many of those calls had a deadline.
func (b *Backend) Bounded(rpc string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bounded[rpc]
}

func (b *Backend) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	rpc := method[strings.LastIndexByte(method, '/')+1:]
	b.mu.Lock()
	b.calls[rpc]++
	if _, ok := stream.Context().Deadline(); ok {
		b.bounded[rpc]++
	}
	b.mu.Unlock()
	if vary := b.vary.Load(); vary != nil {
		if err := stream.SetHeader(metadata.Pairs("vary", *vary)); err != nil {
			return err
		}
	}
	var last []byte
	for n := 0; ; n++ {
		var msg []byte
		switch err := stream.RecvMsg(&msg); {
		case errors.Is(err, io.EOF) && rpc == "Upload":
			return b.answer(stream, last, false)
		case errors.Is(err, io.EOF) && n > 0:
			return nil
		case err != nil:
			return err
		}
		last = msg
		if rpc == "Upload" {
			continue
		}
		if err := b.answer(stream, msg, rpc == "Watch" || rpc == "Chat"); err != nil || rpc != "Chat" {
			return err
		}
	}
}

// answer does what the request orders.
func (b *Backend) answer(stream grpc.ServerStream, request []byte, many bool) error {
	o, rest, err := readOrders(request)
	if err != nil {
		return status.Error(codes.Internal, "the request cannot be read") // as grpc-go's servers say
	}
	if err := wait(stream.Context(), o.DelayMS); err != nil {
		return err
	}
	if o.Code != 0 {
		return status.Error(codes.Code(o.Code), "as ordered")
	}
	reply := protowire.AppendVarint(protowire.AppendTag(rest, 3, protowire.VarintType), uint64(b.executed.Add(1)))
	if o.Size > 0 {
		reply = appendBytes(reply, 4, bytes.Repeat([]byte{'x'}, o.Size))
	}
	if o.Literal {
		reply = o.Reply
	}
	if !many {
		return stream.SendMsg(reply)
	}
	for n := 0; n < max(o.Count, 1) || o.Count < 0; n++ {
		if err := stream.SendMsg(reply); err != nil {
			return err
		}
		b.sent.Add(1)
		if err := wait(stream.Context(), o.PauseMS); err != nil {
			return err
		}
	}
	return nil
}

func wait(ctx context.Context, ms int) error {
	if ms == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readOrders returns the request's orders, and the request without them.
func readOrders(request []byte) (o Orders, rest []byte, err error) {
	for len(request) > 0 {
		num, _, n := protowire.ConsumeField(request)
		if n < 0 {
			return o, nil, protowire.ParseError(n)
		}
		if num == 2 {
			if err := o.merge(request[:n]); err != nil { // a query gives them one by one
				return o, nil, err
			}
		} else {
			rest = append(rest, request[:n]...)
		}
		request = request[n:]
	}
	return o, rest, nil
}

// merge takes over what the field sets.
func (o *Orders) merge(field []byte) error {
	_, _, skip := protowire.ConsumeTag(field)
	b, n := protowire.ConsumeBytes(field[skip:])
	if n < 0 {
		return protowire.ParseError(n)
	}
	numbers := [...]*int{1: &o.DelayMS, 2: &o.Code, 3: &o.Size, 4: &o.Count, 5: &o.PauseMS}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		value := b[n : n+size]
		b = b[n+size:]
		switch {
		case typ == protowire.BytesType && num == 6:
			o.Reply, _ = protowire.ConsumeBytes(value)
		case typ == protowire.VarintType && num == 7:
			o.Literal = true
		case typ == protowire.VarintType && int(num) < len(numbers) && numbers[num] != nil:
			v, _ := protowire.ConsumeVarint(value)
			*numbers[num] = int(int32(v))
		}
	}
	return nil
}

// raw is a codec of messages that stay bytes.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case []byte:
		return mem.BufferSlice{mem.SliceBuffer(v)}, nil
	case *[]byte:
		return mem.BufferSlice{mem.SliceBuffer(*v)}, nil
	}
	return nil, errors.New("not bytes")
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	p, ok := v.(*[]byte)
	if !ok {
		return errors.New("not bytes")
	}
	*p = data.Materialize()
	return nil
}
