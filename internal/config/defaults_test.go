package config_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
)

// defaults are all there are: the value of each field in a configuration that
// says nothing of it.
var defaults = map[string]string{
	"listeners.http.address":         "127.0.0.1:8080",
	"listeners.grpc.address":         "127.0.0.1:9090",
	"listeners.admin.address":        "127.0.0.1:9901",
	"upstreams.connect_timeout":      "5s",
	"upstreams.max_receive_bytes":    "4MiB",
	"upstreams.keepalive.time":       "6m",
	"upstreams.keepalive.timeout":    "3s",
	"json.profile":                   "proto3",
	"json.proto_names":               "false",
	"json.emit_defaults":             "false",
	"json.enum_numbers":              "false",
	"json.ignore_unknown_fields":     "false",
	"json.ignore_unknown_query":      "false",
	"json.wrap_streams":              "false",
	"errors.format":                  "aip193",
	"limits.max_body_bytes":          "4MiB",
	"limits.max_message_bytes":       "4MiB",
	"limits.max_depth":               "100",
	"limits.max_query_parameters":    "1000",
	"limits.max_headers":             "100",
	"limits.max_header_bytes":        "64KiB",
	"limits.max_concurrent_streams":  "100",
	"limits.header_timeout":          "10s",
	"limits.idle_timeout":            "5m",
	"limits.write_timeout":           "30s",
	"limits.max_connection_bytes":    "16MiB",
	"limits.stream_idle_timeout":     "5m",
	"drain.timeout":                  "30s",
	"drain.delay":                    "0s",
	"log.level":                      "info",
	"log.format":                     "text",
	"log.access":                     "true",
	"log.when_full":                  "drop",
	"log.peer_lines":                 "20",
	"listeners.http.tls.min_version": `"1.2"`,

	"upstreams.retry_budget.max_tokens":  "10",
	"upstreams.retry_budget.token_ratio": "0.1",
	"shedding.min_limit":                 "20",
	"shedding.max_limit":                 "1000",
	"answers.max_bytes":                  "64MiB",
	"idempotency_memory.max_bytes":       "64MiB",
	"idempotency_memory.caller_share":    "0.1",
	"security_headers.hsts":              "8760h",
	"openapi.policies":                   "promises",
	"tracing.sample_ratio":               "0.01",
	"tracing.service_name":               "gatehouse",
	"reload.interval":                    "5s",
	"reload.reflection_interval":         "1m",
	"reload.drain_timeout":               "10m",
	"upstreams.balancing.kind":           "round-robin",
	"upstreams.balancing.connections":    "1",
	"upstreams.balancing.slow_start":     "0s",
	"upstreams.balancing.refresh":        "30s",
	"upstreams.max_stream_age":           "0s",
	"expose.bad_rules":                   "refuse",
}

const withTLS = "listeners: {http: {tls: {cert_file: testdata/files/cert.pem, key_file: testdata/files/cert.pem}}}\n" + minimal

// printed reads what Print wrote: values by path, without list indices.
func printed(t *testing.T, f *config.File) map[string]string {
	t.Helper()
	var out strings.Builder
	if err := f.Print(&out); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	var steps []string
	for line := range strings.Lines(out.String()) {
		text := strings.TrimLeft(strings.ReplaceAll(line, "- ", "  "), " ")
		depth := (len(line) - len(text)) / 2
		key, value, _ := strings.Cut(strings.TrimSpace(text), ":")
		for len(steps) < depth { // the level of a list has no name
			steps = append(steps, "")
		}
		steps = append(steps[:depth], key)
		if value = strings.TrimSpace(value); value != "" {
			values[strings.ReplaceAll(strings.Join(steps, "."), "..", ".")] = value
		}
	}
	return values
}

func TestDefaults(t *testing.T) {
	got := printed(t, parse(t, withTLS))
	for path, want := range defaults {
		t.Run(path, func(t *testing.T) {
			if got[path] != want {
				t.Errorf("default %q, want %q", got[path], want)
			}
		})
		delete(got, path)
	}
	for _, said := range []string{"listeners.http.tls.cert_file", "listeners.http.tls.key_file", "upstreams.name", "upstreams.target", "upstreams.schema.linked", "expose.select", "expose.upstream"} {
		delete(got, said)
	}
	for path, value := range got {
		t.Errorf("%s has the default %s, which no test names", path, value)
	}
}

func TestDefaultsOfProfile(t *testing.T) {
	got := printed(t, parse(t, "json: {profile: grpc-gateway}\n"+minimal))
	for path, want := range map[string]string{
		"json.proto_names": "false", "json.emit_defaults": "true", "json.enum_numbers": "false", "json.ignore_unknown_fields": "true",
		"json.ignore_unknown_query": "true", "json.wrap_streams": "true", "errors.format": "status",
	} {
		if got[path] != want {
			t.Errorf("%s is %q, want %q", path, got[path], want)
		}
	}
}

// What a default follows from, it follows.
func TestDefaultOfReceive(t *testing.T) {
	f := parse(t, "limits: {max_message_bytes: 16MiB}\n"+minimal)
	if got := f.Config.GetUpstreams()[0].GetMaxReceiveBytes(); got != 16<<20 {
		t.Errorf("max_receive_bytes is %d", got)
	}
}

// A default does not take the place of what was said, zero included.
func TestDefaultsYield(t *testing.T) {
	text := `
limits: {stream_idle_timeout: 0s}
drain: {timeout: 0s}
log: {access: false}
` + minimal
	f := parse(t, text)
	c := f.Config
	if c.GetLimits().GetStreamIdleTimeout().AsDuration() != 0 || c.GetDrain().GetTimeout().AsDuration() != 0 || c.GetLog().GetAccess() {
		t.Errorf("config %v", c)
	}
}

// Default is not shared.
func TestDefaultIsFresh(t *testing.T) {
	one := config.Default()
	*one.Limits.MaxDepth = 7
	one.Drain.Timeout.Seconds = 7
	if two := config.Default(); two.GetLimits().GetMaxDepth() == 7 || two.GetDrain().GetTimeout().GetSeconds() == 7 {
		t.Error("a change shows in the next")
	}
}

// The kinds of fields that YAML is decoded into are those the schema has.
func TestKinds(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(md protoreflect.MessageDescriptor) {
		if seen[md.FullName()] || md.FullName() == "google.protobuf.Duration" {
			return
		}
		seen[md.FullName()] = true
		for i := range md.Fields().Len() {
			f := md.Fields().Get(i)
			switch f.Kind() {
			case protoreflect.BoolKind, protoreflect.StringKind, protoreflect.EnumKind, protoreflect.Uint32Kind, protoreflect.Int64Kind, protoreflect.DoubleKind:
			case protoreflect.MessageKind:
				walk(f.Message())
			default:
				t.Errorf("%s is %v, which cannot be written in YAML", f.FullName(), f.Kind())
			}
			if f.IsMap() && (f.MapKey().Kind() != protoreflect.StringKind || f.MapValue().Kind() != protoreflect.StringKind) {
				t.Errorf("%s is a map of other things than strings, which cannot be written in YAML", f.FullName())
			}
			if name := string(f.Name()); f.Kind() == protoreflect.Int64Kind && !strings.HasSuffix(name, "_bytes") && name != "memory" {
				t.Errorf("%s is no size by its name, and read as one", f.FullName())
			}
		}
	}
	walk((&configv1.Config{}).ProtoReflect().Descriptor())
}
