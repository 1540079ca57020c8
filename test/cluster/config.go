package cluster

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
)

// redisCommand is a Redis that forgets nothing when it is killed, on a free port.
func redisCommand(host, dir string) (*exec.Cmd, string, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", host+":0")
	if err != nil {
		return nil, "", err
	}
	address := l.Addr().String()
	_ = l.Close()
	_, port, err := net.SplitHostPort(address)
	return exec.CommandContext(context.Background(), "redis-server", "--bind", host, "--port", port, "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always"), address, err
}

// policies are those of each RPC. A retry waits less for one attempt than a
// partition lasts, so that another replica gets its chance.
var policies = []struct{ rpc, policy string }{
	{"Read", `timeout: 6s, retry: {attempts: 4, attempt_timeout: 1500ms, initial_backoff: 20ms}`},
	{"Put", `timeout: 6s, retry: {attempts: 4, attempt_timeout: 1500ms, initial_backoff: 20ms}`},
	{"Order", `timeout: 4s, idempotency: {required: true, store: redis, on_failure: closed, ttl: 1h, at_most_once: true}`},
	{"Fire", `timeout: 4s, retry: {attempts: 4}`}, // which must not be taken up
	{"Limited", fmt.Sprintf(`timeout: 4s, rate_limit: [{name: shared, requests: %d, per: 1s, burst: %d, key: '""', store: redis, on_failure: closed}]`, Rate, Burst)},
	{"Watch", `retry: {attempts: 3}`},
}

// configuration is a gateway's. addresses are those of the links to the replicas
// of each backend.
func configuration(addresses map[string][]string, redis string) string {
	var b strings.Builder
	b.WriteString("upstreams:\n")
	for _, name := range backends {
		var list []string
		for _, a := range addresses[name] {
			list = append(list, fmt.Sprintf("{address: %q}", a))
		}
		fmt.Fprintf(&b, `  - name: %s
    addresses: [%s]
    schema: {image: cluster.binpb}
    connect_timeout: 1s
    keepalive: {time: 10s, timeout: 2s}
    health_check: {}
    retry_budget: {max_tokens: 1000, token_ratio: 1}
`, name, strings.Join(list, ", "))
	}
	b.WriteString("expose:\n")
	for _, name := range backends {
		for _, p := range policies {
			fmt.Fprintf(&b, "  - {select: %s.%s, upstream: %s, policy: {auth: {public: true}, %s}}\n", service(name), p.rpc, name, p.policy)
		}
	}
	fmt.Fprintf(&b, "redis: {addresses: [%q], timeout: 500ms}\nlog: {format: json, access: false}\n", redis)
	return b.String()
}

// service is the full name of a backend's service.
func service(backend string) string {
	return "cluster.v1." + strings.ToUpper(backend[:1]) + backend[1:]
}
