package contender

import (
	"fmt"
	"os"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/token"
)

// config is what Gatehouse is told. The JSON profile has it emit the same fields
// as the generated facade. The access log goes to standard error, which the
// benchmark writes to a file.
const config = `listeners:
  http: {address: %q}
  grpc: {address: %q}
  admin: {address: %q}
upstreams:
  - name: shop
    target: %q
    schema: {image: %q}
%sexpose:
  - select: "shop.*"
    upstream: shop
    policy:
%sjson: {profile: grpc-gateway}
log: {level: info, format: json, access: true}
`

// unkept switches off what would answer a request without asking the backend, or
// keep its answer, whatever the contract says.
const unkept = `      cache: {disabled: true}
      fallback: {disabled: true}
      idempotency: {disabled: true}
`

// plain is the policy of Gatehouse without policies: a timeout, so that its link
// of the chain has something to do, and nothing else that the contract declares.
const plain = `      auth: {public: true}
      timeout: 10s
      rate_limit: [{unlimited: true}]
      concurrency: [{unlimited: true}]
      retry: {disabled: true}
      breaker: {disabled: true}
` + unkept

// policies are those that an RPC of a public API has at least. None of them
// refuses anything here: what is measured is what they cost when all is well.
const policies = `      auth: {accept: [idp]}
      timeout: 10s
      rate_limit: [{requests: 1000000, per: 1s, key: caller.id}]
      concurrency: [{unlimited: true}]
      retry: {safe: true}
      breaker: {}
` + unkept

// authenticators are how the callers of policies are known.
const authenticators = `authenticators:
  - name: idp
    jwt: {issuer: %q, audiences: [%q], jwks_file: %q}
`

// WriteConfig writes a configuration for the contender of that name, which is
// Gatehouse in one way or the other, to a file, and what it refers to beside it:
// the contract of the case and the keys. The two addresses are for the listeners
// that are not measured.
func WriteConfig(file, name string, s Settings, grpcAddr, adminAddr string) error {
	image, err := s.Case.Image()
	if err != nil {
		return err
	}
	imageFile := file + ".binpb"
	if err := os.WriteFile(imageFile, image, 0o600); err != nil {
		return fmt.Errorf("write the contract: %w", err)
	}
	known, policy := "", plain
	if name == Policies {
		keysFile := file + ".jwks.json"
		if err := os.WriteFile(keysFile, s.KeySet, 0o600); err != nil {
			return fmt.Errorf("write the keys: %w", err)
		}
		known, policy = fmt.Sprintf(authenticators, token.Issuer, token.Audience, keysFile), policies
	}
	text := fmt.Sprintf(config, s.Listen, grpcAddr, adminAddr, "passthrough:///"+s.Backend, imageFile, known, policy)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}
