// Package hostile attacks the gateway. Each attack is played at a fresh process,
// and its harm is measured from outside: the memory that the process holds at most,
// the processor time that it takes in comparison to a benign client that sends as
// many bytes, and the share of calls that innocent callers on connections of their
// own complete meanwhile.
//
// To add an attack, add an [Attack] to the list of its class: memory_test.go,
// cpu_test.go and so on; [Attack] says what the fields mean. Play does the harm with
// the clients in h2.go (frames of HTTP/2, gRPC with any bytes) and http1.go (slow
// readers), or any other. It returns when the harm is at its fullest, and leaves its
// connections open: the harness measures, then closes them. An error says that a
// promise is broken that numbers do not show. Then
//
//	GATEHOUSE_HOSTILE=1 go -C test/hostile test -run 'TestAttacks/part of the name' -v . -update
//
// plays it and writes its row into docs/SECURITY-MODEL.md. With the environment
// variable GATEHOUSE_BINARY the attacks are played at another binary, such as an
// older one, where they should succeed.
package hostile

import (
	"cmp"
	"fmt"
	"strings"
)

// Doors are the ways into the gateway, as the table names them.
const (
	Native = "native gRPC"
	GRPC   = "gRPC on the HTTP port"
	REST2  = "REST over HTTP/2"
	REST1  = "REST over HTTP/1"

	Connect = "Connect over HTTP/2"
	GRPCWeb = "gRPC-Web over HTTP/2"
)

// Sizes.
const (
	KiB = 1 << 10
	MiB = 1 << 20
)

// Attack is what a hostile client does to a gateway.
type Attack struct {
	// Name says what the client does: "a hundred answers that nobody reads".
	// Name and Door together are unique.
	Name string
	Door string
	// Promise is what the gateway promises against it, as a group of rows of the
	// table is headed: "One connection holds at most 16 MiB".
	Promise string

	// Policy is the default policy of all RPCs, in YAML, in the place of
	// "auth: {public: true}". Policies are those of single RPCs, by name.
	Policy   string
	Policies map[string]string
	// Config is more of the configuration, such as "limits: {...}".
	Config string
	// Steps are those of which Page is composed, in YAML; "" leaves Page out.
	Steps string
	// Routes are those of single RPCs, by name, in YAML. Beside the upstream "things"
	// they may choose "others", which is the same backend.
	Routes map[string]string
	// Upstream is more of the upstream "things", such as "outliers: {...}".
	Upstream string
	// Replicas is how many backends the upstream has, 1 if 0.
	Replicas int
	// Log are settings of the log, in the place of "access: false".
	Log string
	// MemoryLimit is the gateway's GOMEMLIMIT, in bytes; 0 sets none.
	MemoryLimit int64
	// Env is more of the gateway's environment.
	Env []string
	// Files is how many files the gateway may have open, connections included; 0 is
	// what the tests may.
	Files int

	// Play does the harm.
	Play func(*Target) error
	// Benign sends as many bytes as Play with no ill will. Required by CPU, and
	// shown in the table for memory.
	Benign func(*Target) error

	// Memory bounds how many bytes the process holds more than at rest; 0 sets
	// no bound, as below.
	Memory int64
	// CPU bounds the processor time of Play in comparison to that of Benign.
	CPU float64
	// Innocent is the least share of calls to Get that innocent callers complete.
	// They call natively and by REST, each over a connection of its own.
	Innocent float64

	// Known says why the attack still succeeds. It is skipped then.
	Known string
}

func (a Attack) String() string { return a.Name + ", " + a.Door }

// rpcs are those of the service.
var rpcs = []string{"Get", "Update", "Once", "Watch", "Upload", "Chat"}

func (a Attack) configuration(backends []*Backend) string {
	var addresses []string
	for _, b := range backends {
		addresses = append(addresses, fmt.Sprintf("{address: %q}", b.Address))
	}
	var b strings.Builder
	b.WriteString("upstreams:\n")
	upstream := func(name, more string) {
		fmt.Fprintf(&b, "  - {name: %s, addresses: [%s], schema: {image: thing.binpb}, %s}\n", name, strings.Join(addresses, ", "), more)
	}
	upstream("things", a.Upstream)
	if len(a.Routes) > 0 {
		upstream("others", "")
	}
	if a.Steps != "" {
		b.WriteString("  - {name: pages, composed: true, schema: {image: thing.binpb}}\n")
	}
	b.WriteString("expose:\n")
	policy := func(rpc string) string { return cmp.Or(a.Policies[rpc], a.Policy, "auth: {public: true}") }
	if a.Steps != "" {
		fmt.Fprintf(&b, "  - {select: %s.Page, upstream: pages, policy: {%s}}\n", Pages, policy("Page"))
	}
	for _, rpc := range rpcs {
		fmt.Fprintf(&b, "  - {select: %s.%s, upstream: things, policy: {%s}, routes: [%s]}\n", Service, rpc, policy(rpc), a.Routes[rpc])
	}
	if a.Steps != "" {
		fmt.Fprintf(&b, "compose:\n  - rpc: %s.Page\n    steps:\n%s\n", Pages, a.Steps)
	}
	fmt.Fprintf(&b, "log: {format: json, %s}\n%s\n", cmp.Or(a.Log, "access: false"), a.Config)
	return b.String()
}

// Outcome is what an attack did.
type Outcome struct {
	Memory, BenignMemory int64   // beyond that at rest, in bytes
	CPU, BenignCPU       float64 // in seconds
	Innocent             float64 // the share of calls, from 0 to 1
	InnocentCalls        int
}

// Ratio is the processor time in comparison to the benign client's.
func (o Outcome) Ratio() float64 { return o.CPU / max(o.BenignCPU, 1e-6) }

// Faults names the bounds that the outcome exceeds.
func (a Attack) Faults(o Outcome) (faults []string) {
	for _, m := range a.measures(o) {
		if !m.kept {
			faults = append(faults, fmt.Sprintf("%s: %s, want %s", m.what, m.measured, m.bound))
		}
	}
	return faults
}
