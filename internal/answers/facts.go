package answers

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Kind is what of a call an answer depends on.
type Kind uint8

// The kinds of facts. What none of them can say stands in no key.
const (
	// Header is a header of the request, by its name.
	Header Kind = iota
	// Claim is a claim of the caller, by its path; "" is all of them.
	Claim
	// Caller is who calls ([CallerOf]). Where that is not known, there is no key.
	Caller
	// Authenticator and Scopes are what else is known of the caller.
	Authenticator
	Scopes
	// PeerIP and PeerNetwork are the client's address and the part of it that stands
	// for one client.
	PeerIP
	PeerNetwork
)

// Fact is something of a call, beside its request, that answers depend on.
type Fact struct {
	Kind Kind
	Name string // of a Header or Claim
}

// String is the fact for people.
func (f Fact) String() string {
	switch f.Kind {
	case Header:
		return "header " + f.Name
	case Claim:
		if f.Name == "" {
			return "all claims"
		}
		return "claim " + f.Name
	default:
		return [...]string{Caller: "caller", Authenticator: "caller.authenticator", Scopes: "caller.scopes", PeerIP: "peer.ip", PeerNetwork: "peer.network"}[f.Kind]
	}
}

// Facts are what the answers of one RPC depend on, each once, sorted. The host and
// the scheme that the client used belong to every key, since backends make links of
// them.
type Facts []Fact

// NewFacts sorts facts.
func NewFacts(list ...Fact) Facts {
	slices.SortFunc(list, func(a, b Fact) int {
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return slices.Compact(list)
}

// Parts are host, scheme and facts of a call as parts of a key. known is false if
// one of them is not known, and then no answer may be shared.
func (f Facts) Parts(ctx context.Context, c *call.Call) (parts []string, known bool) {
	parts = append(make([]string, 0, 8), c.Host, c.Scheme)
	for _, fact := range f {
		switch fact.Kind {
		case Header:
			values := call.SentMetadata(ctx, fact.Name)
			parts = append(append(parts, strconv.Itoa(len(values))), values...)
		case Caller:
			who, known := CallerOf(ctx)
			if !known {
				return nil, false
			}
			parts = append(parts, who.Kind, who.Authenticator, who.ID)
		case PeerIP:
			parts = append(parts, c.PeerIP().String())
		case PeerNetwork:
			parts = append(parts, c.PeerNetwork().String())
		default:
			parts = append(parts, ofCaller(c.Caller(), fact))
		}
	}
	return parts, true
}

// ofCaller is a fact about the caller; that it is not there is another value than
// each that it could have.
func ofCaller(caller *call.Caller, fact Fact) string {
	if caller == nil {
		return ""
	}
	var value any
	switch fact.Kind {
	case Authenticator:
		value = caller.Authenticator
	case Scopes:
		value = caller.Scopes
	case Claim:
		if fact.Name == "" {
			value = caller.Claims
			break
		}
		found, ok := call.ClaimAt(caller.Claims, fact.Name)
		if !ok {
			return ""
		}
		value = found
	}
	text, err := json.Marshal(value) // claims came as JSON, which has one order here
	if err != nil {
		return ""
	}
	return string(text)
}
