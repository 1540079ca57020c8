package config

import (
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// Composition tells of which calls an RPC is made, nil for an RPC that an
// upstream answers: what the configuration says, or else the option of the RPC.
// It is complete with its defaults. field is where the configuration says it, as
// in "compose[0]", "" for the option.
func (f *File) Composition(md protoreflect.MethodDescriptor) (c *composev1.Composition, field string, err error) {
	for i, c := range f.Config.GetCompose() {
		if c.GetRpc() == string(md.FullName()) {
			return c, fmt.Sprintf("compose[%d]", i), nil
		}
	}
	c, ok, err := contract.Option[*composev1.Composition](md, composev1.E_Composition)
	if err != nil || !ok {
		return nil, "", err
	}
	if c.GetRpc() != "" {
		return nil, "", fmt.Errorf("rpc: it is %s, at which the option stands; leave it out", md.FullName())
	}
	if err := protovalidate.Validate(c); err != nil {
		return nil, "", fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "validation error: "))
	}
	CompleteComposition(c)
	return c, "", nil
}

// compositions checks what can be known of them without contracts.
func (c *checker) compositions() {
	first := map[string]int{}
	for i, one := range c.file.Config.GetCompose() {
		path := fmt.Sprintf("compose[%d].rpc", i)
		before, taken := first[one.GetRpc()]
		switch {
		case one.GetRpc() == "":
			c.fail(path, "required; give the RPC that is composed, in full, such as \"shop.pages.v1.PagesService.GetProductPage\"")
		case taken:
			c.fail(path, "%s is composed already by compose[%d] on %s; join the two", c.quoted(path, one.GetRpc()), before,
				c.place(fmt.Sprintf("compose[%d].rpc", before)))
		default:
			first[one.GetRpc()] = i
		}
	}
}
