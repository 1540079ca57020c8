package compile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"reflect"

	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// Reply is a backend's answer when it was asked for its contract.
type Reply struct {
	Set *contract.Set
	Err error
}

// Replies are those of the backends that were asked, by their connections.
type Replies map[*upstream.Upstream]Reply

// contracts reads the contract of every upstream.
type contracts struct {
	file      settings
	upstreams map[string]*upstream.Upstream
	previous  *Table
	replies   Replies
	log       *slog.Logger
	all       map[string]*Contract // by the upstream's name
}

// of returns the contract of an upstream; nil if it could not be read.
func (c *contracts) of(upstream string) *Contract { return c.all[upstream] }

// method returns what an upstream's contract says of an RPC; nil for nothing.
func (c *contracts) method(upstream string, name protoreflect.FullName) protoreflect.MethodDescriptor {
	if s := c.all[upstream]; s != nil {
		return s.Set.Method(name)
	}
	return nil
}

// has reports whether an upstream's contract has an RPC.
func (c *contracts) has(upstream string, name protoreflect.FullName) bool {
	s := c.all[upstream]
	return s != nil && s.Set.Has(name)
}

// read reads the contracts of all upstreams.
func (c *contracts) read() error {
	var errs []error
	for i, u := range c.file.Config.GetUpstreams() {
		s, err := c.readOne(u)
		if err != nil {
			errs = append(errs, c.file.Errorf(fmt.Sprintf("upstreams[%d].schema", i), "the contract of upstream %q cannot be read: %v", u.GetName(), err))
			continue
		}
		c.all[u.GetName()] = s
	}
	return errors.Join(errs...)
}

func (c *contracts) readOne(u *configv1.Upstream) (*Contract, error) {
	switch s := u.GetSchema().GetSource().(type) {
	case *configv1.Schema_Image:
		data, err := contract.ReadImage(s.Image)
		if err != nil {
			return nil, err
		}
		return c.reuse(fmt.Sprintf("image %x", sha256.Sum256(data)), func() (*contract.Set, error) { return contract.ParseImage(s.Image, data) })
	case *configv1.Schema_Linked:
		return c.reuse("linked", contract.Linked)
	default:
		return c.reflected(u)
	}
}

// reuse returns the contract of this content that another upstream or the table in force
// has, or reads it.
func (c *contracts) reuse(content string, read func() (*contract.Set, error)) (*Contract, error) {
	options := jsonOptions(c.file.Config)
	known := []map[string]*Contract{c.all}
	if c.previous != nil {
		known = append(known, c.previous.Contracts)
	}
	for _, all := range known {
		for _, s := range all {
			if s.Content == content && reflect.DeepEqual(s.options, options) {
				return s, nil
			}
		}
	}
	set, err := read()
	if err != nil {
		return nil, err
	}
	return &Contract{Set: set, Plans: transcode.NewCompiler(options, set.Types), Content: content, options: options}, nil
}

// reflected is the contract in a backend's reply. A backend that was asked before and
// does not answer now is taken to have the contract that it had.
func (c *contracts) reflected(u *configv1.Upstream) (*Contract, error) {
	known := c.known(u)
	again := func() (*contract.Set, error) { return known.Set, nil }
	reply, asked := c.replies[c.upstreams[u.GetName()]]
	switch {
	case !asked && known != nil:
		return c.reuse(known.Content, again)
	case !asked:
		return nil, errors.New("the backend was not asked") // cannot happen: live asks all that Unasked names first
	case reply.Err == nil:
		return c.reuse(reply.Set.Sum(), func() (*contract.Set, error) { return reply.Set, nil })
	case known != nil:
		c.log.Warn("could not read the contract by reflection; keeping the last one", "upstream", u.GetName(), "error", reply.Err)
		return c.reuse(known.Content, again)
	default:
		return nil, reply.Err
	}
}

// known is the contract that a backend had when the table in force was compiled; nil if
// it was not asked then.
func (c *contracts) known(u *configv1.Upstream) *Contract {
	if c.previous == nil || c.previous.Upstreams[u.GetName()] != c.upstreams[u.GetName()] {
		return nil
	}
	return c.previous.Contracts[u.GetName()]
}

// unasked lists the backends whose contracts are needed and that were not asked for them
// yet. With reread, those whose contract is known are asked again.
func (c *contracts) unasked(reread bool) []*upstream.Upstream {
	var list []*upstream.Upstream
	for _, u := range c.file.Config.GetUpstreams() {
		switch u.GetSchema().GetSource().(type) {
		case *configv1.Schema_Image, *configv1.Schema_Linked:
			continue
		}
		up := c.upstreams[u.GetName()]
		if _, asked := c.replies[up]; !asked && up != nil && (reread || c.known(u) == nil) {
			list = append(list, up)
		}
	}
	return list
}
