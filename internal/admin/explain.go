package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/interceptors/deprecation"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	edgegrpc "github.com/gatehouse-dev/gatehouse/internal/edge/grpc"
	"github.com/gatehouse-dev/gatehouse/internal/edge/rest"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/internal/nearest"
	"github.com/gatehouse-dev/gatehouse/internal/routing"
)

// Explanation says how a request would be handled.
type Explanation struct {
	Request string `json:"request"`
	// Served says that the request passes the door. What policies decide depends on who
	// calls, and when.
	Served bool `json:"served"`
	// Refusal is set if it does not pass.
	Refusal *Refusal `json:"refusal,omitempty"`
	// Path is the canonical path.
	Path      string           `json:"path,omitempty"`
	Binding   string           `json:"binding,omitempty"`
	Variables []NamedValue     `json:"variables,omitempty"`
	Body      string           `json:"body,omitempty"`
	Query     []NamedValue     `json:"query,omitempty"`
	Message   json.RawMessage  `json:"message,omitempty"`
	RPC       string           `json:"rpc,omitempty"`
	Version   *VersionChoice   `json:"version,omitempty"`
	Upstreams []UpstreamChoice `json:"upstreams,omitempty"`
	Exposure  string           `json:"exposure,omitempty"`
	Chain     []string         `json:"chain,omitempty"`
	Policies  []config.Field   `json:"policies,omitempty"`
	Nearest   []edge.Nearby    `json:"nearest,omitempty"`
	// Skipped are the bindings of the request that the configuration skips.
	Skipped []SkippedBinding `json:"skipped,omitempty"`
}

// Refusal is an answer of the gateway's own.
type Refusal struct {
	HTTPStatus int    `json:"http_status,omitempty"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	Allow      string `json:"allow,omitempty"`
}

// NamedValue is a path variable or a query parameter. Problem says why it would be refused.
type NamedValue struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Problem string `json:"problem,omitempty"`
}

// VersionChoice is the version of an API, and what named it.
type VersionChoice struct {
	API     string `json:"api"`
	Name    string `json:"name"`
	NamedBy string `json:"named_by"`
	// Deprecation are the headers that every answer has, as "name: value".
	Deprecation []string `json:"deprecation,omitempty"`
}

// UpstreamChoice is an upstream that an RPC may go to.
type UpstreamChoice struct {
	Upstream string `json:"upstream"`
	// When is the condition, "" for none.
	When string `json:"when,omitempty"`
	// Verdict says whether the condition holds for the given header: "yes", "no" or
	// "depends"; "" where there is no condition.
	Verdict string `json:"verdict,omitempty"`
	// Chain are the policies between the choice and this upstream; none for the
	// last one, whose policies are in the chain of the RPC.
	Chain []string `json:"chain,omitempty"`
}

// SkippedBinding is a binding that is not served (bad_rules: skip), and why.
type SkippedBinding struct {
	Binding string `json:"binding"`
	RPC     string `json:"rpc"`
	Why     string `json:"why"`
}

// Explain explains how a table would handle a request without a body, by the code
// that serves. It is an error if the request could not be sent.
func Explain(ctx context.Context, t *compile.Table, method, target string, header map[string][]string) (*Explanation, error) {
	s, err := settingsOf(t)
	if err != nil {
		return nil, err
	}
	r, err := rest.Read(ctx, s, method, target, header)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Request: method + " " + target, Refusal: refusalOf(r), Nearest: r.Nearest}
	e.Path, _ = httprule.Canonical(r.Path) // the refusal has the error
	e.Skipped = skippedFor(t.Methods, method, r)
	if r.Route != nil {
		m := t.Method(r.Method.Name)
		e.addVersion(m.Version, r.VersionBy)
		if err = e.addBinding(t, m, r); err == nil {
			err = e.addMethod(t, m, withHost(header, target))
		}
	}
	e.Served = e.Refusal == nil
	return e, err
}

// ExplainRPC explains how a table would handle a call over gRPC. The name is the RPC's
// full name, as "/shop.catalog.v1.CatalogService/GetProduct".
func ExplainRPC(t *compile.Table, name string, header map[string][]string) (*Explanation, error) {
	s, err := settingsOf(t)
	if err != nil {
		return nil, err
	}
	r := edgegrpc.Read(s, name, header)
	e := &Explanation{Request: "grpc " + name, Refusal: refusalOf(r), Served: r.Err == nil}
	if r.Method != nil {
		m := t.Method(name)
		e.addVersion(m.Version, "the RPC's name")
		return e, e.addMethod(t, m, header)
	}
	known := make([]string, 0, len(t.Methods))
	for _, m := range t.Methods {
		known = append(known, m.Name)
	}
	e.Refusal.Message += nearest.DidYouMean(name, known)
	return e, nil
}

// settingsOf are settings of doors whose table is never replaced.
func settingsOf(t *compile.Table) (*edge.Settings, error) {
	var fixed edge.Current
	fixed.Store(t.Edge)
	return compile.Settings(&fixed, t.File.Config)
}

// skippedFor lists the skipped bindings that match the path and HTTP method of a request. If
// the request is served, only a binding with the same path template counts.
func skippedFor(all []*compile.Method, method string, r *edge.Reading) []SkippedBinding {
	var list []SkippedBinding
	for _, e := range all {
		for _, skipped := range e.Bindings {
			if skipped.Err == nil || skipped.Template == nil || r.Route != nil && r.Route.Template.Path() != skipped.Template.Path() {
				continue
			}
			var b httprule.Builder[struct{}]
			if b.Add(skipped.Verb, skipped.Template, "", struct{}{}) == nil && b.Build().Match(method, r.Path, new(httprule.Match[struct{}])) == nil {
				list = append(list, SkippedBinding{Binding: skipped.Name, RPC: strings.TrimPrefix(e.Name, "/"), Why: skipped.Problem()})
			}
		}
	}
	return list
}

func refusalOf(r *edge.Reading) *Refusal {
	if r.Err == nil {
		return nil
	}
	st := call.StatusOf(r.Err)
	return &Refusal{HTTPStatus: r.Status, Code: call.CodeName(st.Code()), Message: st.Message(), Allow: r.Allow}
}

// addMethod adds the RPC, its policies and its upstreams.
func (e *Explanation) addMethod(t *compile.Table, m *compile.Method, header map[string][]string) (err error) {
	field := fmt.Sprintf("expose[%d]", m.Exposure)
	e.RPC, e.Chain = strings.TrimPrefix(m.Name, "/"), m.Chain
	e.Exposure = strings.TrimSpace(t.File.Position(field).String() + " " + field)
	e.Upstreams = choices(t, m, header)
	e.Policies, err = m.Effective.Fields()
	return err
}

func (e *Explanation) addVersion(v compile.Version, by string) {
	if v.Edge == nil {
		return
	}
	e.Version = &VersionChoice{API: v.Edge.API.Name, Name: v.Edge.Name, NamedBy: by}
	if v.Deprecation == nil {
		return
	}
	for pair := range slices.Chunk(deprecation.Headers(v.Deprecation), 2) {
		e.Version.Deprecation = append(e.Version.Deprecation, pair[0]+": "+pair[1])
	}
}

// addBinding adds the binding, and what becomes of path and query.
func (e *Explanation) addBinding(t *compile.Table, m *compile.Method, r *edge.Reading) error {
	e.Binding, e.Body = r.Route.Name, r.Route.Body
	for i, v := range r.Route.Template.Variables() {
		e.Variables = append(e.Variables, NamedValue{Name: strings.Join(v.FieldPath, "."), Value: r.Vars[i]})
	}
	for pair := range strings.SplitSeq(r.Query, "&") {
		if pair == "" {
			continue
		}
		e.Query = append(e.Query, parameter(pair, problem(r, pair)))
	}
	wire, err := r.Route.View.AppendRequest(nil, &call.Input{Vars: r.Vars, RawQuery: r.Query})
	if err != nil {
		if e.Refusal == nil {
			e.Refusal = &Refusal{HTTPStatus: badRequest, Code: "INVALID_ARGUMENT", Message: err.Error()}
		}
		return nil
	}
	encoder, err := t.Contracts[m.Upstream].Plans.Encoder(m.Desc.Input())
	if err != nil {
		return err
	}
	if text, err := encoder.Append(nil, wire); err == nil {
		e.Message = text
	}
	return nil
}

// badRequest is the HTTP status of what cannot be read.
const badRequest = 400

// problem says why a parameter would be refused even without all others; "" if it would not.
func problem(r *edge.Reading, pair string) string {
	if _, err := r.Route.View.AppendRequest(nil, &call.Input{Vars: r.Vars, RawQuery: pair}); err != nil {
		return err.Error()
	}
	return ""
}

// parameter splits a pair of the query, and decodes it as far as possible.
func parameter(pair, problem string) NamedValue {
	name, value, _ := strings.Cut(pair, "=")
	for _, part := range []*string{&name, &value} {
		if text, err := url.QueryUnescape(*part); err == nil {
			*part = text
		}
	}
	return NamedValue{Name: name, Value: value, Problem: problem}
}

// choices lists the upstreams that an RPC's calls choose from, and says which of them would
// get a call with this header.
func choices(t *compile.Table, m *compile.Method, header map[string][]string) []UpstreamChoice {
	routes := t.File.Config.GetExpose()[m.Exposure].GetRoutes()
	if len(routes) == 0 {
		return []UpstreamChoice{{Upstream: m.Upstream}}
	}
	md := metadata.MD{}
	for key, values := range header {
		md.Append(key, values...)
	}
	var host string
	if given := md.Get("host"); len(given) > 0 {
		host = given[0]
	}
	list := make([]UpstreamChoice, 0, len(routes)+1)
	for i, r := range routes {
		list = append(list, UpstreamChoice{
			Upstream: r.GetUpstream(), When: strings.Trim(condition(r), " ()"), Verdict: routing.Verdict(r, host, md), Chain: m.RouteChains[i],
		})
	}
	return append(list, UpstreamChoice{Upstream: m.Upstream, When: "no route takes it", Verdict: restVerdict(list)})
}

// restVerdict says whether a call goes to the upstream behind all routes.
func restVerdict(routes []UpstreamChoice) string {
	verdict := "yes"
	for _, r := range routes {
		switch r.Verdict {
		case "yes":
			return "no"
		case "depends":
			verdict = "depends"
		}
	}
	return verdict
}

// withHost is header with the host that a URL names, if header names none.
func withHost(header map[string][]string, target string) map[string][]string {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return header
	}
	for key := range header {
		if strings.EqualFold(key, "host") {
			return header
		}
	}
	with := maps.Clone(header)
	if with == nil {
		with = map[string][]string{}
	}
	with["host"] = []string{u.Host}
	return with
}
