package compile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"

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

// readSchemas reads the contract of every upstream.
func (b *Builder) readSchemas() error {
	var errs []error
	for i, u := range b.file.Config.GetUpstreams() {
		s, err := b.readSchema(u)
		if err != nil {
			errs = append(errs, b.file.Errorf(fmt.Sprintf("upstreams[%d].schema", i), "the contract of upstream %q cannot be read: %v", u.GetName(), err))
			continue
		}
		b.contracts[u.GetName()] = s
	}
	return errors.Join(errs...)
}

func (b *Builder) readSchema(u *configv1.Upstream) (*Contract, error) {
	switch s := u.GetSchema().GetSource().(type) {
	case *configv1.Schema_Image:
		data, err := contract.ReadImage(s.Image)
		if err != nil {
			return nil, err
		}
		return b.source(fmt.Sprintf("image %x", sha256.Sum256(data)), func() (*contract.Set, error) { return contract.ParseImage(s.Image, data) })
	case *configv1.Schema_Linked:
		return b.source("linked", contract.Linked)
	default:
		return b.reflected(u)
	}
}

// source finds a contract that is known by its content, or reads it.
func (b *Builder) source(content string, read func() (*contract.Set, error)) (*Contract, error) {
	options := jsonOptions(b.file.Config)
	known := []map[string]*Contract{b.contracts}
	if b.previous != nil {
		known = append(known, b.previous.Contracts)
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

// Unasked lists the backends whose contracts the table needs and that were not
// asked for them yet.
func (b *Builder) Unasked() []*upstream.Upstream {
	var list []*upstream.Upstream
	for _, u := range b.file.Config.GetUpstreams() {
		switch u.GetSchema().GetSource().(type) {
		case *configv1.Schema_Image, *configv1.Schema_Linked:
			continue
		}
		up := b.upstreams[u.GetName()]
		if _, ok := b.replies[up]; !ok && up != nil && (b.input.Trigger != ByFile || b.known(u) == nil) {
			list = append(list, up)
		}
	}
	return list
}

// known is the contract of a backend that was asked when the table in force was
// built; nil if there is none.
func (b *Builder) known(u *configv1.Upstream) *Contract {
	if b.previous == nil || b.previous.Upstreams[u.GetName()] != b.upstreams[u.GetName()] {
		return nil
	}
	return b.previous.Contracts[u.GetName()]
}

// reflected is the contract from a backend's reply. A backend that was asked before
// and does not answer now is taken to have the contract that it had.
func (b *Builder) reflected(u *configv1.Upstream) (*Contract, error) {
	known := b.known(u)
	again := func() (*contract.Set, error) { return known.Set, nil }
	a, asked := b.replies[b.upstreams[u.GetName()]]
	switch {
	case !asked && known != nil:
		return b.source(known.Content, again)
	case !asked:
		return nil, errors.New("the backend was not asked") // Unasked has seen to it that it was
	case a.Err == nil:
		return b.source(a.Set.Sum(), func() (*contract.Set, error) { return a.Set, nil })
	case known != nil:
		b.policies.Log.Warn("a contract cannot be asked for: the last one stays", "upstream", u.GetName(), "error", a.Err)
		return b.source(known.Content, again)
	default:
		return nil, a.Err
	}
}
