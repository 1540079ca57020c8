package transcode_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// countedLife is over after so many questions; with none left it counts on.
type countedLife struct {
	left  int
	asked int
}

var errOver = errors.New("the client went away")

func (l *countedLife) Err() error {
	if l.asked++; l.asked > l.left {
		return errOver
	}
	return nil
}

// asksOften wants what f does with a message of so many bytes to ask about the call's
// end at least once for each 64 KiB, and to end with the call.
func asksOften(t *testing.T, name string, size int, f func(call.Lifetime) error) {
	t.Helper()
	life := &countedLife{left: 1 << 30}
	if err := f(life); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if want := size/(64<<10) - 1; life.asked < want {
		t.Errorf("%s: asked %d times whether the call is over, want at least %d for %d bytes", name, life.asked, want, size)
	}
	over := &countedLife{left: life.asked / 2}
	if err := f(over); !errors.Is(err, errOver) || over.asked != over.left+1 {
		t.Errorf("%s: asked %d times, failed with %v; want %v at once after %d", name, over.asked, err, errOver, over.left)
	}
}

func bindAll(t *testing.T, s schema, md protoreflect.MessageDescriptor) *transcode.Binding {
	t.Helper()
	b, err := transcode.NewCompiler(transcode.Options{IgnoreUnknown: true}, s.types).Bind(md, md, &contract.Binding{Verb: "POST", Body: "*", Template: vars()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDecodingEndsWithTheCall tries all shapes of documents but those that go by at
// memory's speed.
func TestDecodingEndsWithTheCall(t *testing.T) {
	s := newSchema(t, "proto3", proto3Schema)
	b := bindAll(t, s, s.message(t, "All"))
	const size = docsOf(1 << 18)
	documents := size.dear()
	documents["a plain string"] = `{"fString":"` + strings.Repeat("é", int(size)/2) + `"}`
	documents["a string with one escape"] = `{"fString":"\n` + strings.Repeat("x", int(size)) + `"}`
	documents["a list that is skipped"] = size.list("unknown", "[1,{}]")
	for name, doc := range documents {
		if _, err := b.AppendRequest(nil, &call.Input{Body: []byte(doc), HasBody: true}); err != nil || name == "a mantissa of the whole body" || name == "white space" {
			continue
		}
		asksOften(t, name, len(doc), func(until call.Lifetime) error {
			_, err := b.AppendRequest(nil, &call.Input{Body: []byte(doc), HasBody: true, Until: until})
			return err
		})
	}
}

func TestEncodingEndsWithTheCall(t *testing.T) {
	s := newSchema(t, "proto3", proto3Schema)
	md := s.message(t, "All")
	b := bindAll(t, s, md)
	for name, wire := range hostileWires(wireOf{md}, 20000, 300) {
		if name == "escapes" { // one string
			continue
		}
		asksOften(t, name, len(wire), func(until call.Lifetime) error {
			_, _, _, err := b.AppendResponse(nil, wire, until)
			return err
		})
	}
}
