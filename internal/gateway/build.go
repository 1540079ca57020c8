package gateway

import (
	"crypto/sha256"
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
	routes    []RouteInfo
	policies  []MethodPolicy
	overrides overrides
	bindings  []*bindings
	taken     map[string]claim    // HTTP method and path -> binding that has it
	ruleless  map[int][]string    // exposure -> RPCs of which nobody said who may call them
	overruled map[int][]string    // exposure -> RPCs whose contract says otherwise who may call them
	unmatched map[string][]string // route that asks for claims -> public RPCs, whose callers have none
	forwarded []string            // metadata in which any RPC forwards claims
	shared    sharedLimits
	versions  versions
	infos     map[string]*methodInfo // by full name on the wire
	composed  compositions
	keys      map[string][]PolicyKey // by full name on the wire
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
	b.methods, b.schemas, b.shared = map[string]*call.Method{}, map[string]*source{}, sharedLimits{}
	b.ruleless, b.overruled, b.unmatched = map[int][]string{}, map[int][]string{}, map[string][]string{}
	b.infos, b.taken, b.keys = map[string]*methodInfo{}, map[string]claim{}, map[string][]PolicyKey{}
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
	for i, p := range b.policies {
		b.policies[i].Keys = b.keys[p.Method]
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
			if s.content == content && s.options == options {
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

// exposed is one RPC that is to be served, and why.
type exposed struct {
	method   protoreflect.MethodDescriptor
	upstream string
	index    int // of the exposure in the configuration

	effective *config.Effective
}

// merge finds the policy of every RPC, before any is compiled: what one forwards
// to backends, all others must strip.
func (b *builder) merge(chosen []*exposed) error {
	var errs []error
	for _, e := range chosen {
		effective, err := b.file.Policy(e.method, e.index)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		e.effective = effective
		if !hasRule(effective.Policy.GetAuth()) {
			b.ruleless[e.index] = append(b.ruleless[e.index], string(e.method.FullName()))
		}
		if effective.Overruled != "" {
			b.overruled[e.index] = append(b.overruled[e.index], string(e.method.FullName()))
		}
		b.policies = append(b.policies, MethodPolicy{Method: fullMethod(e.method), Effective: effective})
	}
	b.forwarded = forwardedBy(b.policies)
	return errors.Join(errs...)
}

// add compiles one RPC: its chain and its bindings.
func (b *builder) add(e *exposed) error {
	name := fullMethod(e.method)
	rules := b.rulesOf(e)
	idle := b.file.Config.GetLimits().GetStreamIdleTimeout().AsDuration()
	m := &call.Method{
		Name:          name,
		Desc:          e.method,
		Stream:        grpc.StreamDesc{StreamName: string(e.method.Name()), ClientStreams: e.method.IsStreamingClient(), ServerStreams: e.method.IsStreamingServer()},
		Upstream:      e.upstream,
		StreamIdle:    idle,
		Request:       b.shapes.Of(e.method.Input()),
		CheckRequests: b.checksRequests(e),
		RequestWithin: shorter(e.effective.Policy.GetTimeout().AsDuration(), idle),
	}
	b.methods[name] = m
	var err error
	if b.infos[name], err = b.newInfo(e); err != nil {
		return err
	}
	if hasRule(e.effective.Policy.GetAuth()) {
		meaning := rules
		if b.exposureAt(e).GetGrpcOnly() {
			meaning = rulesFrom(contract.Declared(e.method)) // what its HTTP method would be says whether it may be repeated
		}
		if err := b.guard(m, e, meaning); err != nil {
			return b.wrongPolicy(e, err)
		}
	}
	info := RouteInfo{Method: name, Upstream: m.Upstream, Exposure: fmt.Sprintf("expose[%d]", e.index), Policies: policiesOf(e.effective)}
	info.Routes, info.Mirror = b.ways(e)
	b.bindings = append(b.bindings, &bindings{
		of: e, method: m, rules: rules, info: info, routes: make([]RouteInfo, len(rules)), bad: make([]error, len(rules)),
	})
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
	upstreams := []string{e.upstream, x.GetMirror().GetUpstream()}
	for _, route := range x.GetRoutes() {
		upstreams = append(upstreams, route.GetUpstream())
	}
	return slices.ContainsFunc(upstreams, func(name string) bool { return b.upstreamNamed(name).GetOutliers() != nil })
}

// guard puts the chain of policies in front of m's upstream.
func (b *builder) guard(m *call.Method, e *exposed, rules []*rule) error {
	r, err := b.newRPC(e, rules)
	if err != nil {
		return err
	}
	m.Conn, err = b.link(r, e)
	return err
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
		visit(e.method.Input())
		visit(e.method.Output())
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
	refused := &call.Method{Conn: interceptors.Chain(call.Refuser{}, b.parts.observers("")...)}
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
		Table:        call.NewTable(methods, refused, b.parts.own()...),
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

// fullMethod is the name as on the wire.
func fullMethod(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}
