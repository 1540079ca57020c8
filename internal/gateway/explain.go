package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/deprecation"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// policyNames lists policies.
func policyNames(list []interceptors.Interceptor) []string {
	names := make([]string, 0, len(list))
	for _, i := range list {
		names = append(names, i.Name)
	}
	return names
}

// Explanation is what would become of a request.
type Explanation struct {
	Request string `json:"request"`
	// Served tells that the request passes the door; what the policies make of
	// it depends on who calls, and when.
	Served bool `json:"served"`
	// Refusal is why it does not.
	Refusal *Refusal `json:"refusal,omitempty"`
	// Path is the path in its one spelling.
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

// NamedValue is a path variable or a query parameter. Problem is why it would be
// refused.
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
	// Verdict tells whether it holds, as far as the header tells: "yes", "no"
	// or "depends"; "" where there is no condition.
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

// Explain tells what would become of a request without a body, by the code that
// serves. It is an error if the request could not be sent.
func (g *Gateway) Explain(ctx context.Context, method, target string, header map[string][]string) (*Explanation, error) {
	now, s, err := g.snapshot()
	if err != nil {
		return nil, err
	}
	r, err := s.ReadHTTP(ctx, method, target, header)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Request: method + " " + target, Refusal: refusalOf(r), Nearest: r.Nearest}
	e.Path, _ = httprule.Canonical(r.Path) // what is wrong with it, the refusal tells
	e.Skipped = skippedFor(now.exposed, method, r)
	if r.Route != nil {
		of := find(now.exposed, r.Method.Name)
		e.addVersion(of.version, r.VersionBy)
		if err = now.explainBinding(e, of, r); err == nil {
			err = now.explainMethod(e, of, withHost(header, target))
		}
	}
	e.Served = e.Refusal == nil
	return e, err
}

// ExplainRPC tells what would become of a call over gRPC. The name is the RPC's
// full name, as "/shop.catalog.v1.CatalogService/GetProduct".
func (g *Gateway) ExplainRPC(name string, header map[string][]string) (*Explanation, error) {
	now, s, err := g.snapshot()
	if err != nil {
		return nil, err
	}
	r := s.ReadGRPC(name, header)
	e := &Explanation{Request: "grpc " + name, Refusal: refusalOf(r), Served: r.Err == nil}
	if r.Method != nil {
		of := find(now.exposed, name)
		e.addVersion(of.version, "the RPC's name")
		return e, now.explainMethod(e, of, header)
	}
	known := make([]string, 0, len(now.exposed))
	for _, of := range now.exposed {
		known = append(known, of.Name)
	}
	e.Refusal.Message += nearest.DidYouMean(name, known)
	return e, nil
}

// snapshot is the table in force as settings that no reload changes, with its
// description: one explanation is of one table.
func (g *Gateway) snapshot() (*served, *edge.Settings, error) {
	table, now := g.inForce()
	var fixed edge.Current
	fixed.Store(table)
	s, err := settings(&fixed, now.file.Config)
	return now, s, err
}

// skippedFor lists the skipped bindings whose path and HTTP method a request has. If
// the request is served, only a binding with the very same path matters.
func skippedFor(all []*exposed, method string, r *edge.Reading) []SkippedBinding {
	var list []SkippedBinding
	for _, e := range all {
		for _, skipped := range e.bindings {
			if skipped.Err == nil || skipped.Template == nil || r.Route != nil && r.Route.Template.Path() != skipped.Template.Path() {
				continue
			}
			var b httprule.Builder[struct{}]
			if b.Add(skipped.Verb, skipped.Template, "", struct{}{}) == nil && b.Build().Match(method, r.Path, new(httprule.Match[struct{}])) == nil {
				list = append(list, SkippedBinding{Binding: skipped.Name, RPC: strings.TrimPrefix(e.Name, "/"), Why: inOneLine(skipped.Err)})
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

// explainMethod tells of the RPC and what stands before its upstream.
func (s *served) explainMethod(e *Explanation, of *exposed, header map[string][]string) (err error) {
	field := fmt.Sprintf("expose[%d]", of.index)
	e.RPC, e.Chain = strings.TrimPrefix(of.Name, "/"), of.chain
	e.Exposure = strings.TrimSpace(s.file.Position(field).String() + " " + field)
	e.Upstreams = s.choices(of, header)
	e.Policies, err = of.effective.Fields()
	return err
}

func (e *Explanation) addVersion(v version, by string) {
	if v.edge == nil {
		return
	}
	e.Version = &VersionChoice{API: v.edge.API.Name, Name: v.edge.Name, NamedBy: by}
	if v.deprecation == nil {
		return
	}
	for pair := range slices.Chunk(deprecation.Headers(v.deprecation), 2) {
		e.Version.Deprecation = append(e.Version.Deprecation, pair[0]+": "+pair[1])
	}
}

// explainBinding tells what becomes of path and query.
func (s *served) explainBinding(e *Explanation, of *exposed, r *edge.Reading) error {
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
	encoder, err := s.schemas[of.Upstream].plans.Encoder(of.Desc.Input())
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

// problem is why a parameter would be refused even if it were alone.
func problem(r *edge.Reading, pair string) string {
	if _, err := r.Route.View.AppendRequest(nil, &call.Input{Vars: r.Vars, RawQuery: pair}); err != nil {
		return err.Error()
	}
	return ""
}

// parameter takes a pair of the query apart, as far as it can be decoded.
func parameter(pair, problem string) NamedValue {
	name, value, _ := strings.Cut(pair, "=")
	for _, part := range []*string{&name, &value} {
		if text, err := url.QueryUnescape(*part); err == nil {
			*part = text
		}
	}
	return NamedValue{Name: name, Value: value, Problem: problem}
}
