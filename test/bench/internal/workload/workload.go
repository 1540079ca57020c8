// Package workload holds what is sent in the benchmark: the cases, their
// requests and answers. Everything is the same in every process and every run.
package workload

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/load"
)

// Door is the way by which the requests of a case come in.
type Door int

// The doors.
const (
	REST     Door = iota // JSON over HTTP/1.1
	GRPC                 // gRPC on its own port
	GRPCHTTP             // gRPC on the port of REST
)

// Case is one thing to measure.
type Case struct {
	Name   string // on the command line
	Title  string // in the report
	Door   Door
	Routes int // how many routes are bound beside the shop's own
	// Policies tells whether it is measured too what policies cost: that is the
	// same whatever a call carries, so one case shows it.
	Policies bool

	products int // in the answer, or
	lines    int // in the request
}

// Cases returns all cases, in the order of the report.
func Cases() []Case {
	return []Case{
		{Name: "response-1k", Title: "1 KB response", products: 1, Policies: true},
		{Name: "response-8k", Title: "8 KB response", products: 10},
		{Name: "response-85k", Title: "85 KB response", products: 100},
		{Name: "request-85k", Title: "85 KB request", lines: 585},
		{Name: "routes-1000", Title: "1 KB response, 1,000 routes", products: 1, Routes: 1000},
		{Name: "grpc", Title: "gRPC, 1 KB response", products: 1, Door: GRPC},
		{Name: "grpc-http", Title: "gRPC on the HTTP port, 1 KB response", products: 1, Door: GRPCHTTP},
	}
}

// Find returns the case of that name.
func Find(name string) (Case, error) {
	for _, c := range Cases() {
		if c.Name == name {
			return c, nil
		}
	}
	return Case{}, fmt.Errorf("no case %q: want one of %s", name, Names())
}

// Names lists the cases, with commas between them.
func Names() string {
	var b bytes.Buffer
	for i, c := range Cases() {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(c.Name)
	}
	return b.String()
}

// Exchange is a case in all its forms: the HTTP request and the JSON that
// answers it, and the RPC with the messages that stand for them.
type Exchange struct {
	RPC      string // "/package.Service/Method"
	Request  proto.Message
	Response proto.Message
	HTTP     load.Request
	JSON     []byte // of Response, every field emitted
	Wire     []byte // of Request
}

// Exchange makes the case's messages.
func (c Case) Exchange() (Exchange, error) {
	x := c.list()
	if c.lines > 0 {
		var err error
		if x, err = c.order(); err != nil {
			return Exchange{}, err
		}
	}
	var err error
	if x.Wire, err = Wire(x.Request); err != nil {
		return Exchange{}, err
	}
	x.JSON, err = marshal(protojson.MarshalOptions{EmitUnpopulated: true}, x.Response)
	return x, err
}

// list asks for products.
func (c Case) list() Exchange {
	return Exchange{
		RPC:      catalogv1.CatalogService_ListProducts_FullMethodName,
		Request:  &catalogv1.ListProductsRequest{PageSize: int32(c.products), Currency: "EUR"},
		Response: listOf(c.products),
		HTTP:     load.Request{Method: "GET", Path: fmt.Sprintf("/v1/products?pageSize=%d&currency=EUR", c.products)},
	}
}

// order sends a large order and gets a short confirmation.
func (c Case) order() (Exchange, error) {
	req := &ordersv1.CreateOrderRequest{Parent: "customers/ada-lovelace", Order: orderOf(c.lines)}
	body, err := marshal(protojson.MarshalOptions{}, req.GetOrder())
	return Exchange{
		RPC:      ordersv1.OrdersService_CreateOrder_FullMethodName,
		Request:  req,
		Response: confirmation(),
		HTTP:     load.Request{Method: "POST", Path: "/v1/" + req.GetParent() + "/orders", Body: body},
	}, err
}

// marshal writes compact JSON: protojson alone puts in spaces at random, to
// keep its users from relying on its bytes.
func marshal(o protojson.MarshalOptions, m proto.Message) ([]byte, error) {
	loose, err := o.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write the JSON of the workload: %w", err)
	}
	var b bytes.Buffer
	err = json.Compact(&b, loose)
	return b.Bytes(), err
}

// pageSizeField is the number of ListProductsRequest.page_size.
const pageSizeField = 2

// Answers are the wire bytes with which the backend answers, encoded
// beforehand. They are not written after they were made.
type Answers struct {
	lists map[uint64][]byte // by page size
	order []byte
}

// NewAnswers encodes the answers of all cases.
func NewAnswers() (*Answers, error) {
	a := &Answers{lists: map[uint64][]byte{}}
	for _, c := range Cases() {
		x, err := c.Exchange()
		if err != nil {
			return nil, err
		}
		wire, err := Wire(x.Response)
		if err != nil {
			return nil, err
		}
		if c.lines > 0 {
			a.order = wire
		} else {
			a.lists[uint64(c.products)] = wire
		}
	}
	return a, nil
}

// Find returns the answer to a request of that RPC, and whether there is one.
// It asks for the request's bytes only where the answer depends on them.
func (a *Answers) Find(rpc string, request func() []byte) ([]byte, bool) {
	switch rpc {
	case catalogv1.CatalogService_ListProducts_FullMethodName:
		b, ok := a.lists[varint(request(), pageSizeField)]
		return b, ok
	case ordersv1.OrdersService_CreateOrder_FullMethodName:
		return a.order, true
	default:
		return nil, false
	}
}

// Wire encodes m, always the same way.
func Wire(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// varint returns a field of a message without decoding the rest; 0 if it is
// not there.
func varint(message []byte, field protowire.Number) uint64 {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return 0
		}
		message = message[n:]
		if number == field && kind == protowire.VarintType {
			v, _ := protowire.ConsumeVarint(message)
			return v
		}
		n = protowire.ConsumeFieldValue(number, kind, message)
		if n < 0 {
			return 0
		}
		message = message[n:]
	}
	return 0
}
