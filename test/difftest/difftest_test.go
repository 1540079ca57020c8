// Package difftest holds Gatehouse against the facade that grpc-gateway
// generates from the same contract. Both stand in front of a shop of their
// own, filled alike, and get the same requests. What the services are asked,
// the HTTP status and the meaning of the answer must be equal, or the
// difference stands in the table of intended ones.
package difftest

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gatehouse-dev/gatehouse/internal/admin"
)

// TestMain silences what the reference logs of every bad request.
func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	os.Exit(m.Run())
}

// atLeast is how many requests the comparison is worth.
const atLeast = 1000

// profile is one configuration of Gatehouse and what it is compared with.
type profile struct {
	name    string
	config  string
	options []runtime.ServeMuxOption
}

func profiles() []profile {
	strict := &runtime.HTTPBodyMarshaler{Marshaler: &runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{}}}
	return []profile{
		// The generated facade is told to write what is set and to refuse
		// unknown fields, so that answers compare word by word.
		{"proto3", "", []runtime.ServeMuxOption{runtime.WithMarshalerOption(runtime.MIMEWildcard, strict)}},
		// The generated facade as it comes.
		{"grpc-gateway", "json: {profile: grpc-gateway}\nerrors: {format: status}\n", nil},
	}
}

func TestReferenceFacade(t *testing.T) {
	met := make([]int, len(intended))
	for _, p := range profiles() {
		t.Run(p.name, func(t *testing.T) { compareProfile(t, p, met) })
	}
	for i, row := range intended {
		if met[i] == 0 {
			t.Errorf("no request meets the difference %q (%s, %d and %d) of profile %q: drop the row, or send one",
				row.trait, row.gap, row.ours, row.theirs, row.profile)
		}
	}
}

func compareProfile(t *testing.T, p profile, met []int) {
	ours, theirs := openStore(t), openStore(t)
	gatehouse := openGateway(t, ours, p.config)
	pair := pair{
		profile:   p.name,
		gatehouse: facade{serveGatehouse(t, gatehouse), ours},
		reference: facade{serveReference(t, openGateway(t, theirs, ""), p.options...), theirs},
	}
	requests := slices.Concat(tableOfRequests(), requestsOfBindings(t, admin.Routes(gatehouse.Table())), unsettled())
	if len(requests) < atLeast {
		t.Errorf("only %d requests, want at least %d", len(requests), atLeast)
	}
	equal := 0
	for i, r := range requests {
		r.id = i + 1
		if pair.compare(t, r, met) {
			equal++
		}
	}
	t.Logf("%d requests, %d answered alike, %d answered in another way", len(requests), equal, len(requests)-equal)
}

// pair is the two facades.
type pair struct {
	profile              string
	gatehouse, reference facade
}

// facade is where to send requests, and the shop behind.
type facade struct {
	address string
	store   *store
}

// compare sends a request to both facades and reports whether they agree. What
// they disagree in must be intended.
func (p *pair) compare(t *testing.T, r request, met []int) bool {
	t.Helper()
	var wg sync.WaitGroup
	var answers [2]*answer
	for i, f := range []*facade{&p.gatehouse, &p.reference} {
		wg.Go(func() {
			err := f.store.fill(r.id)
			if err != nil {
				t.Error(err)
				return
			}
			if answers[i], err = f.send(t.Context(), r); err != nil {
				t.Errorf("%v\nno answer of %s: %v", r, [...]string{"Gatehouse", "the reference"}[i], err)
			}
		})
	}
	if wg.Wait(); t.Failed() && (answers[0] == nil || answers[1] == nil) {
		return false
	}
	ours, theirs := answers[0], answers[1]
	gaps := gapsOf(ours, theirs)
	for _, g := range gaps {
		row := slices.IndexFunc(intended, func(d difference) bool { return d.explains(p.profile, r, g, ours, theirs) })
		if row < 0 {
			t.Errorf("%v\nunintended difference in %s\nours:   %v\ntheirs: %v", r, g, ours, theirs)
			continue
		}
		met[row]++
	}
	return !slices.ContainsFunc(gaps, func(g gap) bool { return !slices.Contains(manners, g) })
}

// manners are how the same is said in another way.
var manners = []gap{inWords, inType, inShape, inHeader}

// gap is what two answers disagree in.
type gap string

const (
	inStatus  gap = "status"  // the HTTP status
	inReach   gap = "reach"   // the same status, but only one asked the service
	inRequest gap = "request" // what the service was asked
	// The rest is looked at where both asked the same, or neither anything.
	inCode   gap = "code"   // the gRPC status
	inWords  gap = "words"  // what a refusal of the facade itself says
	inAnswer gap = "answer" // the meaning of the answer
	inType   gap = "type"   // the media type
	inShape  gap = "shape"  // how an error or a stream is written
	inHeader gap = "header" // where the service's metadata is
)

// gapsOf compares two answers.
func gapsOf(ours, theirs *answer) []gap {
	asked := len(ours.asked) > 0
	switch {
	case ours.status != theirs.status:
		return []gap{inStatus}
	case asked != (len(theirs.asked) > 0):
		return []gap{inReach}
	case !sameAsked(ours.asked, theirs.asked):
		return []gap{inRequest}
	}
	var gaps []gap
	note := func(g gap, differs bool) {
		if differs {
			gaps = append(gaps, g)
		}
	}
	note(inCode, ours.code != theirs.code)
	note(inWords, ours.fault != theirs.fault && !asked)
	note(inAnswer, ours.meaning != theirs.meaning || ours.fault != theirs.fault && asked)
	note(inType, ours.media != theirs.media)
	note(inShape, ours.shape != theirs.shape)
	note(inHeader, ours.metadata != theirs.metadata)
	return gaps
}

// difference is a row of the table: a difference that is meant to be.
type difference struct {
	trait        string // of the request; "" for any
	gap          gap
	profile      string // "" for both
	ours, theirs int    // HTTP statuses; 0 for any
	why          string // with the source that says so
}

func (d *difference) explains(profile string, r request, g gap, ours, theirs *answer) bool {
	return (d.trait == "" || slices.Contains(strings.Split(r.trait, ", "), d.trait)) && d.gap == g && (d.profile == "" || d.profile == profile) &&
		(d.ours == 0 || d.ours == ours.status) && (d.theirs == 0 || d.theirs == theirs.status)
}

// TestIntendedDifferencesSayWhy holds the table to its form.
func TestIntendedDifferencesSayWhy(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range intended {
		key := fmt.Sprint(d.trait, d.gap, d.profile, d.ours, d.theirs)
		if seen[key] {
			t.Errorf("%q (%s) stands in the table twice", d.trait, d.gap)
		}
		seen[key] = true
		if !strings.Contains(d.why, ":") {
			t.Errorf("%q (%s): want a reason that begins with its source and a colon, got %q", d.trait, d.gap, d.why)
		}
	}
}
