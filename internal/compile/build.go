package compile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
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
	// OpenAPI is served where the configuration names no file.
	OpenAPI []byte
}

// Builder compiles one table. It is used once.
type Builder struct {
	file      *config.File
	policies  *Policies
	upstreams map[string]*upstream.Upstream
	previous  *Table
	replies   Replies
	input     Input

	contracts map[string]*Contract
	types     *descriptors
	methods   map[string]*call.Method
	shapes    call.Shapes
	router    httprule.Builder[*edge.Route]
	exposed   []*Method
	overrides overrides
	taken     map[string]claim    // HTTP method and path -> binding that has it
	ruleless  map[int][]string    // exposure -> RPCs of which nobody said who may call them
	overruled map[int][]string    // exposure -> RPCs whose contract says otherwise who may call them
	unmatched map[string][]string // route that asks for claims -> public RPCs, whose callers have none
	forwarded []string            // metadata in which any RPC forwards claims: no client may send it, to whatever RPC
	versions  versions
	composed  compositions
}

// NewBuilder returns the builder of one table.
func NewBuilder(in Input) *Builder {
	return &Builder{
		input: in, file: in.File, policies: in.Policies, upstreams: in.Upstreams, previous: in.Previous, replies: in.Replies,
		contracts: map[string]*Contract{}, methods: map[string]*call.Method{}, taken: map[string]claim{},
		ruleless: map[int][]string{}, overruled: map[int][]string{}, unmatched: map[string][]string{},
	}
}

// Methods are the RPCs of the table, also of one that was refused.
func (b *Builder) Methods() []*Method { return b.exposed }

// Table compiles the table. A mistake anywhere is an error, as is a contract that
// would break clients of the table in force.
func (b *Builder) Table() (*Table, error) {
	served, err := b.build()
	if err != nil {
		return nil, err
	}
	if err := b.unbroken(); err != nil {
		return nil, err
	}
	doc, err := openAPI(b.file, b.input.OpenAPI)
	if err != nil {
		return nil, err
	}
	t := &Table{
		Edge: served, File: b.file, Methods: b.exposed, Contracts: b.contracts, Upstreams: b.upstreams, OpenAPI: doc,
		Warnings: b.warnings(), Since: time.Now(), Trigger: b.input.Trigger, types: b.types, httpFiles: b.overrides.read,
	}
	served.Description = t
	return t, nil
}

func (b *Builder) build() (*edge.Table, error) {
	if b.file.Config.GetPaths().GetKeepReserved() {
		b.router.Decoding = httprule.KeepReserved
		b.versions.paths.Decoding = httprule.KeepReserved
	}
	if err := b.readSchemas(); err != nil {
		return nil, err
	}
	chosen, err := b.choose()
	if err != nil {
		return nil, err
	}
	if err := b.addOverrides(chosen); err != nil {
		return nil, err
	}
	if err := b.readVersions(chosen); err != nil {
		return nil, err
	}
	if err := errors.Join(b.merge(chosen), b.checkRewrites()); err != nil {
		return nil, err
	}
	b.exposed = chosen
	if err := b.findCompositions(chosen); err != nil {
		return nil, err
	}
	var errs []error
	for _, c := range chosen {
		errs = append(errs, b.add(c))
	}
	errs = append(errs, b.bindAll(), b.compose(), b.denyByDefault())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return b.table()
}

// merge finds the policy of every RPC, before any is compiled: what one forwards
// to backends, all others must strip.
func (b *Builder) merge(chosen []*Method) error {
	var errs []error
	for _, e := range chosen {
		effective, err := b.file.Policy(e.Desc, e.Exposure)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		e.Effective = effective
		b.forwarded = slices.AppendSeq(b.forwarded, maps.Keys(effective.Policy.GetAuth().GetForward()))
		if !hasRule(effective.Policy.GetAuth()) {
			b.ruleless[e.Exposure] = append(b.ruleless[e.Exposure], string(e.Desc.FullName()))
		}
		if effective.Overruled != "" {
			b.overruled[e.Exposure] = append(b.overruled[e.Exposure], string(e.Desc.FullName()))
		}
	}
	slices.Sort(b.forwarded)
	b.forwarded = slices.Compact(b.forwarded)
	return errors.Join(errs...)
}

// add compiles one RPC: its chain and its bindings.
func (b *Builder) add(e *Method) error {
	e.override = b.overrideOf(e)
	bindings := b.bindingsOf(e)
	idle := b.file.Config.GetLimits().GetStreamIdleTimeout().AsDuration()
	m := &call.Method{
		Name:          e.Name,
		Desc:          e.Desc,
		Stream:        grpc.StreamDesc{StreamName: string(e.Desc.Name()), ClientStreams: e.Desc.IsStreamingClient(), ServerStreams: e.Desc.IsStreamingServer()},
		Upstream:      e.Upstream,
		StreamIdle:    idle,
		Request:       b.shapes.Of(e.Desc.Input()),
		CheckRequests: b.checksRequests(e),
		RequestWithin: shorter(e.Effective.Policy.GetTimeout().AsDuration(), idle),
	}
	b.methods[e.Name] = m
	if hasRule(e.Effective.Policy.GetAuth()) {
		meaning := bindings
		if b.exposureAt(e).GetGrpcOnly() {
			meaning = e.Method.Bindings // what its HTTP method would be says whether it may be repeated
		}
		if err := b.guard(m, e, meaning); err != nil {
			return b.wrongPolicy(e, err)
		}
	}
	e.Bindings = bindings
	return nil
}

// shorter is the shorter of two time limits, of which zero is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// checksRequests reports whether requests are checked: where nothing is said, those
// are whose answers something counts for or against an upstream.
func (b *Builder) checksRequests(e *Method) bool {
	p, x := e.Effective.Policy, b.exposureAt(e)
	if p.CheckRequests != nil {
		return p.GetCheckRequests()
	}
	if config.IsEnabled(p.GetBreaker()) || config.IsEnabled(p.GetRetry()) {
		return true
	}
	upstreams := []string{e.Upstream, x.GetMirror().GetUpstream()}
	for _, route := range x.GetRoutes() {
		upstreams = append(upstreams, route.GetUpstream())
	}
	return slices.ContainsFunc(upstreams, func(name string) bool { return b.upstreamNamed(name).GetOutliers() != nil })
}

// guard puts the chain of policies in front of m's upstream.
func (b *Builder) guard(m *call.Method, e *Method, bindings []*contract.Binding) error {
	policy, wrong := e.sound()
	r, err := b.newMethod(e, policy, bindings)
	if err == nil {
		m.Conn, err = b.link(r, e)
	}
	return errors.Join(err, wrong)
}

// hasRule reports whether it is said who may call.
func hasRule(auth *policyv1.Auth) bool { return auth.GetPublic() || len(auth.GetAccept()) > 0 }

// denyByDefault refuses a configuration that serves an RPC without a word on who
// may call it.
func (b *Builder) denyByDefault() error {
	var errs []error
	for _, i := range slices.Sorted(maps.Keys(b.ruleless)) {
		if b.file.Config.GetExpose()[i].GetPolicy().GetAuth() != nil {
			errs = append(errs, b.file.Errorf(fmt.Sprintf("expose[%d].policy.auth", i),
				"nobody says who may call %s: add accept or public: true, because auth here replaces all of the contract's auth",
				several(b.ruleless[i])))
			continue
		}
		errs = append(errs, b.file.Errorf(fmt.Sprintf("expose[%d].policy.auth", i),
			"nobody says who may call %s; set auth here or in the contract, such as {accept: [NAME OF AN AUTHENTICATOR]} or {public: true}",
			several(b.ruleless[i])))
	}
	return errors.Join(errs...)
}

// warnings tell of what is right and may yet not be meant.
func (b *Builder) warnings() []string {
	var list []string
	for _, i := range slices.Sorted(maps.Keys(b.overruled)) {
		list = append(list, b.file.Errorf(fmt.Sprintf("expose[%d].policy.auth", i),
			"replaces what the contract says about who may call %s", several(b.overruled[i])).Error())
	}
	return slices.Concat(list, b.weakPromises(), b.unreachable(), b.sharedNames(), b.replaced(), b.unknownSelectors(), b.skipped())
}

// sharedNames tells of messages in which fields would have the same name in JSON.
func (b *Builder) sharedNames() []string {
	var list []string
	seen := map[protoreflect.FullName]bool{}
	var visit func(md protoreflect.MessageDescriptor)
	visit = func(md protoreflect.MessageDescriptor) {
		if md == nil || seen[md.FullName()] {
			return
		}
		seen[md.FullName()] = true
		if name, fields := transcode.SharedJSONName(md); name != "" {
			list = append(list, fmt.Sprintf("message %s: the fields %s have the same name in JSON, %q; there they keep the names that they have in the contract",
				md.FullName(), several(fields), name))
		}
		for i := range md.Fields().Len() {
			visit(md.Fields().Get(i).Message())
		}
	}
	for _, e := range b.exposed {
		visit(e.Desc.Input())
		visit(e.Desc.Output())
	}
	return list
}

// several lists names, as many as one can read.
func several(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// table puts everything together.
func (b *Builder) table() (*edge.Table, error) {
	b.types = newDescriptors(b.contracts, b.methods, b.policies.Log)
	errorBodies, err := b.errorBodies()
	if err != nil {
		return nil, err
	}
	methods := make([]*call.Method, 0, len(b.methods))
	for _, m := range b.methods {
		methods = append(methods, m)
	}
	cors, err := edge.NewCORS(b.file.Config.GetCors())
	if err != nil {
		return nil, b.file.Errorf("cors", "%v", err)
	}
	observers, err := build(b.policies.observers(), new(interceptors.Method))
	if err != nil {
		return nil, err
	}
	refused := &call.Method{Conn: interceptors.Chain(call.Refuser{}, observers...)}
	own, err := b.policies.own(b.input.Own)
	if err != nil {
		return nil, err
	}
	routes := b.router.Build()
	versions, err := b.buildVersions(routes)
	if err != nil {
		return nil, err
	}
	userAgent := call.UserAgent
	if b.file.Config.GetJson().GetProfile() == configv1.Json_PROFILE_GRPC_GATEWAY {
		userAgent = call.UserAgentOfGRPCGateway
	}
	return &edge.Table{
		UserAgentKey: userAgent,
		Table:        call.NewTable(methods, refused, own...),
		Routes:       routes,
		Versions:     versions,
		VersionOf:    b.versionsOf(),
		Errors:       errorBodies,
		WrapStreams:  b.file.Config.GetJson().GetWrapStreams(),
		Reserved:     edge.Reserve(b.forwarded...),
		CORS:         cors,
		Security:     edge.NewSecurityHeaders(b.file.Config.GetSecurityHeaders()),
	}, nil
}
