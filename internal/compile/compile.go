// Package compile makes the [Table] that is served out of a configuration and the
// contracts of its upstreams. It keeps nothing: what outlives a table is handed in
// by package live. The ordered list of policies is in chain.go.
package compile

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
	"github.com/gatehouse-dev/gatehouse/internal/reflection"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// Input is what one table is compiled from.
type Input struct {
	File *config.File
	// Upstreams are the connections to those that have a server, by name.
	Upstreams map[string]*upstream.Upstream
	// Previous is the table in force; nil before the first.
	Previous *Table
	// Replies are those of the backends that were asked for their contracts.
	Replies  Replies
	Policies *Policies
	Trigger  Trigger
	// Own are the RPCs that the gateway answers itself.
	Own []OwnMethod
}

// Table is all that is served by one configuration: the doors' part of it, and its
// description for those who explain it. It is immutable.
type Table struct {
	// Edge is what the doors serve. Its Description is the Table.
	Edge *edge.Table
	File *config.File
	// Methods are the RPCs that are served, in the order of the contracts.
	Methods []*Method
	// Contracts are those of the upstreams, by the upstream's name.
	Contracts map[string]*Contract
	// Upstreams are those that have a server, by name.
	Upstreams map[string]*upstream.Upstream
	// OpenAPI are the OpenAPI documents of what is served.
	OpenAPI *openapi.Documents
	// GivenOpenAPI is the document that the admin listener serves instead; nil is none.
	GivenOpenAPI *GivenDocument
	// Warnings name settings that are valid and may yet not be meant.
	Warnings []string
	// Since is when the table was compiled, and Trigger why.
	Since   time.Time
	Trigger Trigger

	types     *descriptors
	httpFiles map[string]*config.HTTPFile // by path
}

// Method is one RPC as its contract declares it and as it is served. It is
// immutable once its table is compiled.
type Method struct {
	*contract.Method
	// Bindings are those by which the RPC is served, and those that are skipped, which
	// have an Err. Those of the contract are Method.Bindings.
	Bindings []*contract.Binding
	// Exposure is the index of the exposure in the configuration.
	Exposure int
	// Effective is the policy in force.
	Effective *config.Effective
	// Version is that of the API which the RPC belongs to; the zero Version is none.
	Version Version
	// Chain names the policies, the outermost first, and RouteChains those behind the
	// choice of each route.
	Chain       []string
	RouteChains [][]string
	// Keys are those of the policies that keep answers.
	Keys []PolicyKey

	override *override // the HTTP rule that replaces the contract's; nil for none
}

// Contract is the contract of an upstream with the plans made from it. Tables share
// it as long as it stays the same.
type Contract struct {
	Set   *contract.Set
	Plans *transcode.Compiler
	// Content is equal for contracts that are the same, as an upstream's
	// [contract.Set.Sum] is.
	Content string

	options transcode.Options
}

// Trigger is why a table is compiled.
type Trigger string

// The triggers.
const (
	AtStart      Trigger = "start"
	ByFile       Trigger = "file"       // one of those that the configuration is read from
	BySignal     Trigger = "signal"     // SIGHUP
	ByReflection Trigger = "reflection" // a backend has another contract than before
	ByProgram    Trigger = "program"    // Gateway.Rebuild
)

// Of returns the table that a door's table is part of; nil for nil.
func Of(served *edge.Table) *Table {
	if served == nil {
		return nil
	}
	return served.Description.(*Table) //nolint:forcetypeassert // Builder.Table sets nothing else
}

// Method returns the RPC of that name on the wire; nil for none.
func (t *Table) Method(name string) *Method { return find(t.Methods, name) }

func find(all []*Method, name string) *Method {
	if i := slices.IndexFunc(all, func(m *Method) bool { return m.Name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// Declared are the RPCs that are served, as their contracts declare them.
func (t *Table) Declared() []*contract.Method {
	list := make([]*contract.Method, 0, len(t.Methods))
	for _, m := range t.Methods {
		list = append(list, m.Method)
	}
	return list
}

// Reflected is what server reflection shows of the table. It is made when it is
// first asked for.
func (t *Table) Reflected() (*reflection.Contract, error) { return t.types.shown() }

// Same reports whether two tables serve the same: their configurations differ in
// positions and comments only.
func (t *Table) Same(other *Table) bool {
	return proto.Equal(t.File.Config, other.File.Config) && t.GivenOpenAPI.same(other.GivenOpenAPI) &&
		maps.EqualFunc(t.httpFiles, other.httpFiles, func(a, b *config.HTTPFile) bool { return a.SHA256 == b.SHA256 }) &&
		maps.Equal(t.Contracts, other.Contracts)
}

// WithFile is the same table with a configuration that differs in positions and
// comments only. Calls that hold the one hold the other, too: both count them in
// the same [call.Table].
func (t *Table) WithFile(file *config.File) *Table {
	table, served := *t, *t.Edge
	table.File, table.Edge = file, &served
	served.Description = &table
	return &table
}
