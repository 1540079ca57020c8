package compile

import (
	"errors"
	"maps"
	"runtime"
	"slices"
	"time"

	"google.golang.org/grpc"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// Builder compiles one table. It is used once.
type Builder struct {
	input Input
	file  settings

	contracts  *contracts
	exposures  *exposures
	overrides  *overrides
	versions   *versions
	composer   *composer
	chains     *chainBuilder
	bindings   *bindings
	methods    calls
	shapes     *call.Shapes
	withPolicy []*Method // the exposed RPCs, once their policies are known
}

// calls are the RPCs as they are called, by their names on the wire.
type calls map[string]*call.Method

// NewBuilder returns the builder of one table.
func NewBuilder(in Input) *Builder {
	b := &Builder{input: in, file: settings{in.File}, methods: calls{}, shapes: new(call.Shapes)}
	b.contracts = &contracts{
		file: b.file, upstreams: in.Upstreams, previous: in.Previous, replies: in.Replies, log: in.Policies.Log, all: map[string]*Contract{},
	}
	b.exposures = &exposures{file: b.file, contracts: b.contracts, ruleless: map[int][]string{}, overruled: map[int][]string{}}
	b.overrides, b.versions = newOverrides(b.file), &versions{file: b.file}
	b.composer = &composer{
		file: b.file, contracts: b.contracts, upstreams: in.Upstreams, exposures: b.exposures, methods: b.methods, all: compositions{},
	}
	b.chains = &chainBuilder{
		file: b.file, policies: in.Policies, contracts: b.contracts, upstreams: in.Upstreams, exposures: b.exposures,
		compositions: b.composer.all, completed: map[completion]*config.Effective{}, unmatched: map[string][]string{},
	}
	b.bindings = &bindings{file: b.file, contracts: b.contracts, versions: b.versions, methods: b.methods, taken: map[string]reservation{}, checked: map[*contract.Binding]checked{}}
	if b.file.Config.GetPaths().GetKeepReserved() {
		b.bindings.router.Decoding, b.versions.paths.Decoding = httprule.KeepReserved, httprule.KeepReserved
	}
	return b
}

// Unasked lists the backends that must be asked for their contracts before the table is
// compiled. When a file has changed, those whose contract is known are not asked again.
func (b *Builder) Unasked() []*upstream.Upstream {
	return b.contracts.unasked(b.input.Trigger != ByFile)
}

// Methods are the RPCs of the table, also of one that was refused.
func (b *Builder) Methods() []*Method { return b.withPolicy }

// Table compiles the table. A mistake anywhere is an error, as is a contract that
// would break clients of the table in force.
func (b *Builder) Table() (*Table, error) {
	if err := b.choose(); err != nil {
		return nil, err
	}
	errs := make([]error, 0, len(b.withPolicy))
	for _, m := range b.withPolicy {
		errs = append(errs, b.add(m))
	}
	errs = append(errs, b.bindings.addAll(b.withPolicy), b.composer.link(), b.exposures.denyByDefault())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	types := newDescriptors(b.contracts.all, b.methods, b.input.Policies.Log)
	served, err := b.serve(types)
	if err != nil {
		return nil, err
	}
	if err := b.refuseBreaking(); err != nil {
		return nil, err
	}
	given, differences, err := b.givenDocument()
	if err != nil {
		return nil, err
	}
	documents := b.documents()
	if served.Pages, err = b.pages(documents); err != nil {
		return nil, err
	}
	if served.Guard, err = b.guard(); err != nil {
		return nil, err
	}
	t := &Table{
		Edge: served, File: b.file.File, Methods: b.withPolicy, Contracts: b.contracts.all, Upstreams: b.input.Upstreams,
		OpenAPI: documents, GivenOpenAPI: given,
		Warnings: append(b.warnings(), differences...), Since: time.Now(), Trigger: b.input.Trigger, types: types, httpFiles: b.overrides.read,
	}
	served.Description = t
	return t, nil
}

// choose reads the contracts, and finds what is exposed and under which policies.
func (b *Builder) choose() error {
	if err := b.contracts.read(); err != nil {
		return err
	}
	if err := b.exposures.choose(); err != nil {
		return err
	}
	methods := b.exposures.methods
	if err := b.overrides.collect(methods); err != nil {
		return err
	}
	if err := b.versions.assignAll(methods); err != nil {
		return err
	}
	if err := errors.Join(b.exposures.merge(), b.exposures.checkRewrites()); err != nil {
		return err
	}
	b.withPolicy = methods
	gcBetweenSteps(methods)
	return b.composer.find()
}

// largeTable is how many RPCs are worth a run of the garbage collector.
const largeTable = 2000

// gcBetweenSteps frees memory between two steps of compiling a large table, so that the
// next step reuses it and the heap does not fragment.
func gcBetweenSteps(methods []*Method) {
	if len(methods) > largeTable {
		runtime.GC()
	}
}

// add compiles one RPC with its chain.
func (b *Builder) add(m *Method) error {
	idle := b.file.Config.GetLimits().GetStreamIdleTimeout().AsDuration()
	served := &call.Method{
		Name:          m.Name,
		Desc:          m.Desc,
		Stream:        grpc.StreamDesc{StreamName: string(m.Desc.Name()), ClientStreams: m.Desc.IsStreamingClient(), ServerStreams: m.Desc.IsStreamingServer()},
		Upstream:      m.Upstream,
		StreamIdle:    idle,
		Request:       b.shapes.Later(m.Desc.Input()),
		CheckRequests: b.checksRequests(m),
		RequestWithin: shorter(m.Effective.Policy.GetTimeout().AsDuration(), idle),
	}
	b.methods[m.Name] = served
	m.override = b.overrides.of(m)
	bindings := b.bindings.of(m)
	if hasRule(m.Effective.Policy.GetAuth()) {
		meaning := bindings
		if b.file.exposureOf(m).GetGrpcOnly() {
			meaning = m.Method.Bindings // the contract's HTTP method says whether the RPC may be retried, though HTTP does not serve it
		}
		var err error
		if served.Conn, err = b.chains.connect(m, meaning); err != nil {
			return b.chains.locate(m, err)
		}
	}
	m.Bindings = bindings
	return nil
}

// shorter is the shorter of two time limits, of which zero is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// checksRequests reports whether requests are checked. Unless check_requests says so, they
// are where a breaker, retries or outlier ejection count the answers to them.
func (b *Builder) checksRequests(m *Method) bool {
	p, x := m.Effective.Policy, b.file.exposureOf(m)
	if p.CheckRequests != nil {
		return p.GetCheckRequests()
	}
	if config.IsEnabled(p.GetBreaker()) || config.IsEnabled(p.GetRetry()) {
		return true
	}
	upstreams := []string{m.Upstream, x.GetMirror().GetUpstream()}
	for _, route := range x.GetRoutes() {
		upstreams = append(upstreams, route.GetUpstream())
	}
	return slices.ContainsFunc(upstreams, func(name string) bool { return b.file.upstreamNamed(name).GetOutliers() != nil })
}

// serve returns what the doors serve. Details of errors may be of these types.
func (b *Builder) serve(types *descriptors) (*edge.Table, error) {
	errorBodies, err := newErrors(b.file.Config, types)
	if err != nil {
		return nil, err
	}
	cors, err := edge.NewCORS(b.file.Config.GetCors())
	if err != nil {
		return nil, b.file.Errorf("cors", "%v", err)
	}
	observers, err := build(b.input.Policies.observers(), new(interceptors.Method))
	if err != nil {
		return nil, err
	}
	refused := &call.Method{Conn: interceptors.Chain(call.Refuser{}, observers...)}
	own, err := b.input.Policies.own(b.input.Own)
	if err != nil {
		return nil, err
	}
	routes := b.bindings.router.Build()
	versions, err := b.versions.build(routes)
	if err != nil {
		return nil, err
	}
	userAgent := call.UserAgent
	if b.file.Config.GetJson().GetProfile() == configv1.Json_PROFILE_GRPC_GATEWAY {
		userAgent = call.UserAgentOfGRPCGateway
	}
	return &edge.Table{
		UserAgentKey: userAgent,
		Table:        call.NewTable(slices.Collect(maps.Values(b.methods)), refused, own...),
		Routes:       routes,
		Versions:     versions,
		VersionOf:    versionsOf(b.withPolicy),
		Errors:       errorBodies,
		Plans:        plansOf(b.contracts.all),
		WrapStreams:  b.file.Config.GetJson().GetWrapStreams(),
		Reserved:     edge.Reserve(b.exposures.forwarded...),
		CORS:         cors,
		Security:     edge.NewSecurityHeaders(b.file.Config.GetSecurityHeaders()),
	}, nil
}

// plansOf finds the plans of an upstream's contract by the upstream's name. It keeps
// nothing else of the Builder.
func plansOf(contracts map[string]*Contract) func(string) *transcode.Compiler {
	return func(upstream string) *transcode.Compiler { return contracts[upstream].Plans }
}
