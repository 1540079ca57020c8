package gateway

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"reflect"
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

// builder makes one table. It is used once.
type builder struct {
	file      *config.File
	parts     *parts
	upstreams map[string]*upstream.Upstream
	before    *served   // of the table in force; nil: there is none
	reread    bool      // ask backends for their contracts, also those that did not change
	replies   contracts // of the backends that were asked for their contracts

	schemas   map[string]*source
	contract  *descriptors
	methods   map[string]*call.Method
	shapes    call.Shapes
	router    httprule.Builder[*edge.Route]
	exposed   []*exposed
	overrides overrides
	taken     map[string]claim    // HTTP method and path -> binding that has it
	ruleless  map[int][]string    // exposure -> RPCs of which nobody said who may call them
	overruled map[int][]string    // exposure -> RPCs whose contract says otherwise who may call them
	unmatched map[string][]string // route that asks for claims -> public RPCs, whose callers have none
	forwarded []string            // metadata in which any RPC forwards claims: no client may send it, to whatever RPC
	versions  versions
	composed  compositions
}

// source is a contract with the plans made from it. It is kept from table to
// table, and shared by upstreams, where the contract is the same.
type source struct {
	set     *contract.Set
	plans   *transcode.Compiler
	content string // tells contracts apart
	options transcode.Options
}

func (b *builder) build() (*edge.Table, error) {
	b.methods, b.schemas = map[string]*call.Method{}, map[string]*source{}
	b.ruleless, b.overruled, b.unmatched = map[int][]string{}, map[int][]string{}, map[string][]string{}
	b.taken = map[string]claim{}
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

// readSchemas reads the contract of every upstream.
func (b *builder) readSchemas() error {
	var errs []error
	for i, u := range b.file.Config.GetUpstreams() {
		s, err := b.readSchema(u)
		if err != nil {
			errs = append(errs, b.file.Errorf(fmt.Sprintf("upstreams[%d].schema", i), "the contract of upstream %q cannot be read: %v", u.GetName(), err))
			continue
		}
		b.schemas[u.GetName()] = s
	}
	return errors.Join(errs...)
}

func (b *builder) readSchema(u *configv1.Upstream) (*source, error) {
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
func (b *builder) source(content string, read func() (*contract.Set, error)) (*source, error) {
	options := jsonOptions(b.file.Config)
	known := []map[string]*source{b.schemas}
	if b.before != nil {
		known = append(known, b.before.schemas)
	}
	for _, all := range known {
		for _, s := range all {
			if s.content == content && reflect.DeepEqual(s.options, options) {
				return s, nil
			}
		}
	}
	set, err := read()
	if err != nil {
		return nil, err
	}
	return &source{set: set, plans: transcode.NewCompiler(options, set.Types), content: content, options: options}, nil
}

// exposed is one RPC, as its contract declares it and as it is served. It is
// immutable once the table is built.
type exposed struct {
	*contract.Method
	index     int // of the exposure in the configuration
	effective *config.Effective
	version   version
	rule      *override           // that counts instead of the contract's; nil: none
	bindings  []*contract.Binding // as they are served, and those that are skipped
	chain     []string            // the policies, the outermost first
	routes    [][]string          // those behind the choice of each route
	keys      []PolicyKey
}

// find finds an RPC by its name on the wire.
func find(all []*exposed, name string) *exposed {
	if i := slices.IndexFunc(all, func(e *exposed) bool { return e.Name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// methodsOf are RPCs as their contracts declare them.
func methodsOf(all []*exposed) []*contract.Method {
	list := make([]*contract.Method, 0, len(all))
	for _, e := range all {
		list = append(list, e.Method)
	}
	return list
}

// merge finds the policy of every RPC, before any is compiled: what one forwards
// to backends, all others must strip.
func (b *builder) merge(chosen []*exposed) error {
	var errs []error
	for _, e := range chosen {
		effective, err := b.file.Policy(e.Desc, e.index)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		e.effective = effective
		b.forwarded = slices.AppendSeq(b.forwarded, maps.Keys(effective.Policy.GetAuth().GetForward()))
		if !hasRule(effective.Policy.GetAuth()) {
			b.ruleless[e.index] = append(b.ruleless[e.index], string(e.Desc.FullName()))
		}
		if effective.Overruled != "" {
			b.overruled[e.index] = append(b.overruled[e.index], string(e.Desc.FullName()))
		}
	}
	slices.Sort(b.forwarded)
	b.forwarded = slices.Compact(b.forwarded)
	return errors.Join(errs...)
}

// add compiles one RPC: its chain and its bindings.
func (b *builder) add(e *exposed) error {
	e.rule = b.overrideOf(e)
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
		RequestWithin: shorter(e.effective.Policy.GetTimeout().AsDuration(), idle),
	}
	b.methods[e.Name] = m
	if hasRule(e.effective.Policy.GetAuth()) {
		meaning := bindings
		if b.exposureAt(e).GetGrpcOnly() {
			meaning = e.Bindings // what its HTTP method would be says whether it may be repeated
		}
		if err := b.guard(m, e, meaning); err != nil {
			return b.wrongPolicy(e, err)
		}
	}
	e.bindings = bindings
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
func (b *builder) checksRequests(e *exposed) bool {
	p, x := e.effective.Policy, b.exposureAt(e)
	if p.CheckRequests != nil {
		return p.GetCheckRequests()
	}
	if on(p.GetBreaker()) || on(p.GetRetry()) {
		return true
	}
	upstreams := []string{e.Upstream, x.GetMirror().GetUpstream()}
	for _, route := range x.GetRoutes() {
		upstreams = append(upstreams, route.GetUpstream())
	}
	return slices.ContainsFunc(upstreams, func(name string) bool { return b.upstreamNamed(name).GetOutliers() != nil })
}

// guard puts the chain of policies in front of m's upstream.
func (b *builder) guard(m *call.Method, e *exposed, bindings []*contract.Binding) error {
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
func (b *builder) denyByDefault() error {
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
func (b *builder) warnings() []string {
	var list []string
	for _, i := range slices.Sorted(maps.Keys(b.overruled)) {
		list = append(list, b.file.Errorf(fmt.Sprintf("expose[%d].policy.auth", i),
			"replaces what the contract says about who may call %s", several(b.overruled[i])).Error())
	}
	return slices.Concat(list, b.weakPromises(), b.unreachable(), b.sharedNames(), b.replaced(), b.unknownSelectors(), b.skipped())
}

// sharedNames tells of messages in which fields would have the same name in JSON.
func (b *builder) sharedNames() []string {
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
func (b *builder) table() (*edge.Table, error) {
	b.contract = newDescriptors(b.schemas, b.methods, b.parts.log)
	errorBodies, err := b.errors()
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
	observers, err := build(b.parts.observers(), new(interceptors.Method))
	if err != nil {
		return nil, err
	}
	refused := &call.Method{Conn: interceptors.Chain(call.Refuser{}, observers...)}
	own, err := b.parts.own()
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
