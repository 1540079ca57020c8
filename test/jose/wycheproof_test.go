package jose_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
)

// deviation is a vector of which we say the contrary of what is published.
type deviation struct {
	reason string
	// twin is a valid vector for the same key, which this is but for what stands
	// in but.
	twin, but string
	// withoutAlg: the token verifies, as published, with the key as RFC 7520 has
	// it, which names no algorithm.
	withoutAlg bool
}

const (
	// RFC 7517, section 4.4, has alg as the algorithm that the key is for, and RFC
	// 8725, section 3.1, has keys used with that one only; so have vectors 331 to
	// 340 of the same file, where a key for PS512 must not verify PS384.
	pss = "its key names PS256, and the token is PS384: the keys of RFC 7520, section 3, name none; Wycheproof has added it (doc/json_web_crypto.md)"
	// RFC 7518, section 3.1, has ES512 for the curve P-521; vector 19 of the file
	// of keys is invalid because its key names ES521.
	es521 = "its key names ES521, which does not exist: the keys of RFC 7520, section 3, name none; Wycheproof has added it (doc/json_web_crypto.md)"
	same  = "byte for byte a valid vector, so that no verifier can do both: the padding that was to be wrong is missing (C2SP/wycheproof, issue 236)"
	// The MAC is not of this text either, but of that without "?".
	stray = `it has a "?" within base64url, where RFC 7515, section 5.2, allows no additional characters; vectors 361, 362 and 371 have one too, and are invalid`
)

// deviations are all there are. One that is none any more fails the test.
var deviations = map[string]deviation{
	"signature-346": {reason: pss, withoutAlg: true},
	"signature-347": {reason: es521, withoutAlg: true},
	"signature-350": {reason: pss, withoutAlg: true},
	"signature-351": {reason: es521, withoutAlg: true},
	"signature-367": {reason: same, twin: "signature-357"},
	"signature-370": {reason: same, twin: "signature-357"},
	"signature-372": {reason: stray, twin: "signature-357", but: "?"},
	"signature-373": {reason: stray, twin: "signature-357", but: "?"},
}

// TestWycheproof sends every published JWS and JWE to a gateway that has the
// keys of its group, and allows every algorithm.
//
// None is let in, for none has claims. A JWS that is published as valid must be
// refused for its claims only; one that is invalid, for its form, its header, its
// key or its signature. The gateway reads claims before it verifies the
// signature, as the issuer says which keys count; so the cause in the log tells
// whether the form was right, and auth.VerifySignature, which is the same code,
// tells of the signature. That the gateway has the key, and takes what is well
// signed with it, is seen by a token with claims that is signed with the private
// key of the group.
//
// A JWE is no bearer token here: it is refused whether or not it could be
// decrypted, and what is published of it does not matter.
func TestWycheproof(t *testing.T) {
	used, sent := map[string]bool{}, 0
	for file, want := range published {
		groups := readGroups(t, file)
		all := vectorsByID(groups)
		if len(all) != want {
			t.Errorf("%s: %d vectors, want %d: have the numbers of this test been updated with the module?", file, len(all), want)
		}
		sent += len(all)
		for _, g := range groups {
			t.Run(g.name, func(t *testing.T) { driveGroup(t, g, all, used) })
		}
	}
	for id, d := range deviations {
		if !used[id] {
			t.Errorf("%s does not deviate: take it out of deviations (%s)", id, d.reason)
		}
	}
	t.Logf("%d vectors, %d of which deviate", sent, len(used))
}

// driveGroup sends the vectors of a group to a gateway with its keys.
func driveGroup(t *testing.T, g group, all map[string]vector, used map[string]bool) {
	s, set := stageWith(t, g)
	causes := sendAll(t, s, g.vectors)
	var bare []vector
	for _, v := range g.vectors {
		got := verdict(t, v, causes[v.id], auth.VerifySignature(set, every, v.token))
		d, deviates := deviations[v.id]
		switch want := v.valid && !v.encrypted; {
		case got == want:
			continue
		case !deviates:
			t.Errorf("%s (%s): verified %t, published as valid %t; cause %q", v.id, v.comment, got, v.valid, causes[v.id])
			continue
		}
		used[v.id] = true
		if d.withoutAlg {
			bare = append(bare, v)
		}
		if twin := all[d.twin]; d.twin != "" && (!twin.valid || twin.token != strings.ReplaceAll(v.token, d.but, "")) {
			t.Errorf("%s is not as %s but for %q", v.id, d.twin, d.but)
		}
	}
	if bare != nil {
		driveWithoutAlg(t, g, bare)
	}
}

// driveWithoutAlg sends vectors to a gateway with keys as RFC 7520 has them, and
// wants them to verify.
func driveWithoutAlg(t *testing.T, g group, list []vector) {
	t.Helper()
	g.verify, g.private = without(g.verify, "alg"), without(g.private, "alg")
	s, set := stageWith(t, g)
	causes := sendAll(t, s, list)
	for _, v := range list {
		if !verdict(t, v, causes[v.id], auth.VerifySignature(set, every, v.token)) {
			t.Errorf("%s (%s) does not verify with a key that names no algorithm either", v.id, v.comment)
		}
	}
}

// verdict tells whether the token is right in all but its claims.
func verdict(t *testing.T, v vector, cause string, signature error) bool {
	t.Helper()
	const claims = "claims: "
	switch {
	case strings.HasPrefix(cause, claims):
	case signature == nil:
		t.Errorf("%s (%s): its signature is right, and the gateway refuses it since %q", v.id, v.comment, cause)
	case cause != signature.Error():
		t.Errorf("%s (%s): the gateway refuses it since %q, VerifySignature since %q", v.id, v.comment, cause, signature)
	}
	return signature == nil
}

// sendAll sends tokens, wants each to be refused and the backend to be left
// alone, and returns what the log has as the cause of each refusal.
func sendAll(t *testing.T, s *stage, list []vector) map[string]string {
	t.Helper()
	before := s.reached.Load()
	want := answer{
		code: codes.Unauthenticated, status: http.StatusUnauthorized,
		text: "the bearer token is not valid", challenge: `Bearer realm="gatehouse", error="invalid_token"`,
	}
	for _, v := range list {
		if got := s.rest(t, v.id, "Bearer "+v.token); got != want {
			t.Errorf("%s (%s): got %+v, want %+v", v.id, v.comment, got, want)
		}
	}
	if s.reached.Load() != before {
		t.Error("the backend was called")
	}
	return s.causes(t, ids(list))
}

// stageWith starts a gateway with the keys of a group, and returns the set it
// has. Where none of them can be used no gateway would start, and this one gets a
// neighbour of theirs too. A token that is well signed must be let in.
func stageWith(t *testing.T, g group) (*stage, []byte) {
	t.Helper()
	set := jwks(t, g.verify)
	a := authenticator(t, set, every)
	var signer jwk
	if g.hasValid {
		signer = g.private[0]
	}
	if known, err := auth.New([]*policyv1.Authenticator{a}, auth.Options{}); err == nil {
		if err := known.Close(); err != nil {
			t.Error(err)
		}
	} else {
		if !strings.Contains(err.Error(), "no key can be used") {
			t.Fatalf("authenticator: %v", err)
		}
		signer = neighbours[g.verify[0]["kty"] == "oct"]
		set = jwks(t, append(without([]jwk{signer}, "d"), g.verify...))
		a = authenticator(t, set, every)
	}
	s := newStage(t, a)
	if signer != nil {
		if got := s.rest(t, "well-signed", "Bearer "+sign(t, signer)); got.status != http.StatusOK {
			t.Errorf("a token that is well signed is not let in: %+v", got)
		}
	}
	return s, set
}
