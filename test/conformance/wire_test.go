package conformance_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/test/conformance"
)

func TestRequestRoundTrip(t *testing.T) {
	for _, want := range []*conformance.Request{
		{},
		{Protocol: 2, HTTPVersion: 2, ReceiveLimit: 200 << 10},
		{Protocol: 2, HTTPVersion: 2, UseTLS: true, ClientCA: []byte("ca"), Cert: []byte("cert"), Key: []byte("key")},
	} {
		var b bytes.Buffer
		if _, err := want.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		got, err := conformance.ReadRequest(&b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestResponseRoundTrip(t *testing.T) {
	want := &conformance.Response{Host: "127.0.0.1", Port: 50051, Cert: []byte("cert")}
	var b bytes.Buffer
	if _, err := want.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	got, err := conformance.ReadResponse(&b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestReadRequestRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":           "",
		"half a length":     "\x00\x00",
		"half a message":    "\x00\x00\x00\x04\x08\x02",
		"a huge message":    "\xff\xff\xff\xff",
		"a cut field":       "\x00\x00\x00\x01\x08",
		"a cut nested cert": "\x00\x00\x00\x03\x3a\x01\x0a",
		"a fixed32 field":   "\x00\x00\x00\x05\x0d\x00\x00\x00\x00",
	} {
		if req, err := conformance.ReadRequest(strings.NewReader(in)); err == nil {
			t.Errorf("%s: read as %+v", name, req)
		}
	}
}
