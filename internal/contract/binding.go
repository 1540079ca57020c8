package contract

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// Method is one RPC as its contract declares it.
type Method struct {
	// Name is the name on the wire: "/shop.catalog.v1.CatalogService/GetProduct".
	Name string
	Desc protoreflect.MethodDescriptor
	// Upstream is the name of the upstream whose contract it is.
	Upstream string
	// Bindings are those that its google.api.http rule declares. Those that are wrong
	// are among them.
	Bindings []*Binding
}

// NewMethod reads what the contract declares of an RPC.
func NewMethod(desc protoreflect.MethodDescriptor, upstream string) *Method {
	return &Method{Name: WireName(desc.FullName()), Desc: desc, Upstream: upstream, Bindings: declared(desc)}
}

// WireName is the name on the wire of the RPC of a full name.
func WireName(full protoreflect.FullName) string {
	return "/" + string(full.Parent()) + "/" + string(full.Name())
}

// served are the bindings without an error. The others are not served, so they have no
// clients.
func (m *Method) served() []*Binding {
	return slices.DeleteFunc(slices.Clone(m.Bindings), func(b *Binding) bool { return b.Err != nil })
}

// Binding is how HTTP shows an RPC: a google.api.HttpRule, or one of its
// additional_bindings. The router, the transcoder, the edges and those who explain
// read it; it is immutable.
type Binding struct {
	Verb, Path, Body, ResponseBody string
	// Name is the HTTP method and the path, for people.
	Name string
	// Template is Path, parsed.
	Template *httprule.Template
	// OpenPath is the path without the API's version; "" for none. The binding on that
	// path has it as its Path too.
	OpenPath string
	// Origin says where it is written, for people: "google.api.http, additional_bindings[1]".
	Origin string
	// Err says why it is no binding; nil for one that is. The rest may be empty then.
	Err error
}

// Problem is Err on one line; "" for nil.
func (b *Binding) Problem() string {
	if b.Err == nil {
		return ""
	}
	return strings.ReplaceAll(b.Err.Error(), "\n", "; ")
}

func declared(m protoreflect.MethodDescriptor) []*Binding {
	const origin = "google.api.http"
	rule, _, err := Option[*annotations.HttpRule](m, annotations.E_Http)
	switch {
	case err != nil:
		return []*Binding{{Origin: origin, Err: err}}
	case rule == nil:
		return nil
	default:
		return BindingsOf(rule, origin)
	}
}

// BindingsOf lists a rule and its additional bindings, which nest one level.
func BindingsOf(rule *annotations.HttpRule, origin string) []*Binding {
	list := []*Binding{newBinding(rule, origin)}
	for i, add := range rule.GetAdditionalBindings() {
		b := newBinding(add, fmt.Sprintf("%s, additional_bindings[%d]", origin, i))
		if len(add.GetAdditionalBindings()) > 0 {
			b.Err = errors.New("it has additional_bindings of its own, which nest one level only; write them beside it")
		}
		list = append(list, b)
	}
	return list
}

func newBinding(rule *annotations.HttpRule, origin string) *Binding {
	b := &Binding{Body: rule.GetBody(), ResponseBody: rule.GetResponseBody(), Origin: origin}
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		b.Verb, b.Path = "GET", p.Get
	case *annotations.HttpRule_Put:
		b.Verb, b.Path = "PUT", p.Put
	case *annotations.HttpRule_Post:
		b.Verb, b.Path = "POST", p.Post
	case *annotations.HttpRule_Delete:
		b.Verb, b.Path = "DELETE", p.Delete
	case *annotations.HttpRule_Patch:
		b.Verb, b.Path = "PATCH", p.Patch
	case *annotations.HttpRule_Custom:
		b.Verb, b.Path = p.Custom.GetKind(), p.Custom.GetPath()
	default:
		b.Err = errors.New("it has no method and path; give get, put, post, delete, patch or custom")
		return b
	}
	return b.At(b.Path)
}

// At returns the binding at another path.
func (b *Binding) At(path string) *Binding {
	at := *b
	at.Path, at.Name = path, b.Verb+" "+path
	at.Template, at.Err = httprule.Parse(path)
	return &at
}

// Failed returns the binding with what is wrong with it.
func (b *Binding) Failed(err error) *Binding {
	failed := *b
	failed.Err = err
	return &failed
}
