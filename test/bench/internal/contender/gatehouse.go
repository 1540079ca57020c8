package contender

import (
	"fmt"
	"os"
)

// config is what Gatehouse is told. The policy sets a timeout so that its link
// of the chain has something to do, and the JSON profile has it emit the same
// fields as the generated facade. The access log goes to standard error, which
// the benchmark writes to a file.
const config = `listeners:
  http: {address: %q}
  grpc: {address: %q}
  admin: {address: %q}
upstreams:
  - name: shop
    target: %q
    schema: {image: %q}
expose:
  - select: "shop.*"
    upstream: shop
    policy: {timeout: 10s, auth: {public: true}}
json: {profile: grpc-gateway}
log: {level: info, format: json, access: true}
`

// WriteConfig writes a configuration for Gatehouse to a file, and the contract
// of the case to one beside it. The two addresses are for the listeners that
// are not measured.
func WriteConfig(file string, s Settings, grpcAddr, adminAddr string) error {
	image, err := s.Case.Image()
	if err != nil {
		return err
	}
	imageFile := file + ".binpb"
	if err := os.WriteFile(imageFile, image, 0o600); err != nil {
		return fmt.Errorf("write the contract: %w", err)
	}
	text := fmt.Sprintf(config, s.Listen, grpcAddr, adminAddr, "passthrough:///"+s.Backend, imageFile)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}
