package deploy_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// scenario is what Prometheus has seen, a sample a minute, and whether an alert
// fires then.
type scenario struct {
	alert  string
	name   string
	series []string
	at     time.Duration
	fires  []string // a label of each that does, as in instance=a; "" for none
}

const (
	calls    = `gatehouse_calls_total{job="gatehouse", instance="a", method="/m", protocol="rest", status="OK"}`
	failures = `gatehouse_calls_total{job="gatehouse", instance="a", method="/m", protocol="rest", status="UNAVAILABLE", fault="upstream"}`
	hurried  = `gatehouse_calls_total{job="gatehouse", instance="a", method="/m", protocol="rest", status="DEADLINE_EXCEEDED", fault="client"}`
	notFound = `gatehouse_calls_total{job="gatehouse", instance="a", method="/m", protocol="rest", status="NOT_FOUND", fault="client"}`
	limited  = `gatehouse_refusals_total{job="gatehouse", instance="a", policy="ratelimit", method="/m", status="RESOURCE_EXHAUSTED"}`
	shed     = `gatehouse_refusals_total{job="gatehouse", instance="a", policy="shed", method="/m", status="UNAVAILABLE"}`
	refused  = `gatehouse_refusals_total{job="gatehouse", instance="a", policy="auth", method="/m", status="UNAUTHENTICATED"}`
	fetches  = `gatehouse_auth_key_fetches_total{job="gatehouse", instance="a", authenticator="idp", outcome=`
	breaker  = `{job="gatehouse", instance="a", upstream="shop", method="/m"} `
	attempts = `gatehouse_retry_attempts_total{job="gatehouse", instance="a", method="/m", outcome="ok", kind=`
	withheld = `gatehouse_retry_withheld_total{job="gatehouse", instance="a", method="/m", reason=`
	bucket   = `gatehouse_call_duration_seconds_bucket{job="gatehouse", instance="a", protocol="rest", `
	expiry   = `gatehouse_certificate_expiry_timestamp_seconds{job="gatehouse", instance="a", file="tls.crt"} `
	replica  = `{job="gatehouse", instance="a"} `
)

var scenarios = []scenario{
	{"GatehouseDown", "all are gone", []string{"up" + replica + "1x5 0x10"}, 10 * time.Minute, []string{""}},
	{"GatehouseDown", "never scraped", nil, 5 * time.Minute, []string{""}},
	{"GatehouseDown", "one is left", []string{"up" + replica + "0x15", `up{job="gatehouse", instance="b"} 1x15`}, 10 * time.Minute, nil},

	{"GatehouseReplicaDown", "one is away", []string{"up" + replica + "1x5 0x10", `up{job="gatehouse", instance="b"} 1x15`}, 12 * time.Minute, []string{"instance=a"}},
	{"GatehouseReplicaDown", "a short while", []string{"up" + replica + "1x5 0x10"}, 9 * time.Minute, nil},

	{"GatehouseNotRedundant", "one of two", []string{"up" + replica + "1x5 0x20", `up{job="gatehouse", instance="b"} 1x30`}, 20 * time.Minute, []string{""}},
	{"GatehouseNotRedundant", "both", []string{"up" + replica + "1x30", `up{job="gatehouse", instance="b"} 1x30`}, 20 * time.Minute, nil},

	{"GatehouseRestarts", "each three minutes", []string{"process_start_time_seconds" + replica + "1x2 180x2 360x2 540x2 720x2"}, 15 * time.Minute, []string{"instance=a"}},
	{"GatehouseRestarts", "once", []string{"process_start_time_seconds" + replica + "1x5 300x10"}, 15 * time.Minute, nil},

	{"GatehouseErrorsFast", "2 % fail", []string{calls + " 0+980x120", failures + " 0+20x120"}, 90 * time.Minute, []string{""}},
	{"GatehouseErrorsFast", "1 % fail", []string{calls + " 0+990x120", failures + " 0+10x120"}, 90 * time.Minute, nil},
	{"GatehouseErrorsFast", "it is over", []string{calls + " 0+1000x120", failures + " 0+100x80 8000x40"}, 90 * time.Minute, nil},
	{"GatehouseErrorsFast", "clients are in a hurry", []string{calls + " 0+500x120", hurried + " 0+500x120"}, 90 * time.Minute, nil},
	{"GatehouseErrorsFast", "clients err", []string{calls + " 0+500x120", notFound + " 0+500x120"}, 90 * time.Minute, nil},

	{"GatehouseErrorsSlow", "1 % fail", []string{calls + " 0+990x500", failures + " 0+10x500"}, 400 * time.Minute, []string{""}},
	{"GatehouseErrorsSlow", "one in a thousand", []string{calls + " 0+999x500", failures + " 0+1x500"}, 400 * time.Minute, nil},

	{"GatehouseSlow", "2 % above 2.5 s", []string{bucket + `method="/m", le="1"} 0+98x30`, bucket + `method="/m", le="2.5"} 0+98x30`, bucket + `method="/m", le="+Inf"} 0+100x30`}, 20 * time.Minute, []string{"method=/m"}},
	{"GatehouseSlow", "all below", []string{bucket + `method="/m", le="1"} 0+100x30`, bucket + `method="/m", le="+Inf"} 0+100x30`}, 20 * time.Minute, nil},
	{"GatehouseSlow", "a stream", []string{bucket + `method="/s/WatchStock", le="1"} 0+0x30`, bucket + `method="/s/WatchStock", le="+Inf"} 0+100x30`}, 20 * time.Minute, nil},

	{"GatehouseRefusesByLimit", "a fifth", []string{calls + " 0+100x60", limited + " 0+20x60"}, 45 * time.Minute, []string{""}},
	{"GatehouseRefusesByLimit", "a twentieth", []string{calls + " 0+100x60", limited + " 0+5x60"}, 45 * time.Minute, nil},

	{"GatehouseSheds", "5 %", []string{calls + " 0+100x30", shed + " 0+5x30"}, 20 * time.Minute, []string{""}},
	{"GatehouseSheds", "a few", []string{calls + " 0+1000x30", shed + " 0+5x30"}, 20 * time.Minute, nil},

	{"GatehouseRefusesCallers", "half", []string{calls + " 0+100x60", refused + " 0+50x60"}, 45 * time.Minute, []string{""}},
	{"GatehouseRefusesCallers", "a tenth", []string{calls + " 0+100x60", refused + " 0+10x60"}, 45 * time.Minute, nil},

	{"GatehouseKeysNotFetched", "only failures", []string{fetches + `"failed"} 0+1x100`, fetches + `"ok"} 3x100`}, 90 * time.Minute, []string{"authenticator=idp"}},
	{"GatehouseKeysNotFetched", "some succeed", []string{fetches + `"failed"} 0+1x100`, fetches + `"ok"} 0+1x100`}, 90 * time.Minute, nil},

	{"GatehouseBreakerOpen", "adaptive", []string{"gatehouse_breaker_refusal_probability" + breaker + "0.9x20"}, 15 * time.Minute, []string{"upstream=shop"}},
	{"GatehouseBreakerOpen", "three-state", []string{"gatehouse_breaker_state" + breaker + "2x20", "gatehouse_breaker_refusal_probability" + breaker + "1x20"}, 15 * time.Minute, []string{"upstream=shop"}},
	{"GatehouseBreakerOpen", "a little", []string{"gatehouse_breaker_refusal_probability" + breaker + "0.1x20", "gatehouse_breaker_state" + breaker + "1x20"}, 15 * time.Minute, nil},

	{"GatehouseUpstreamAway", "from all", []string{`gatehouse_upstream_ready{job="gatehouse", instance="a", upstream="shop"} 1x5 0x15`, `gatehouse_upstream_ready{job="gatehouse", instance="b", upstream="shop"} 0x20`}, 15 * time.Minute, []string{"upstream=shop"}},
	{"GatehouseUpstreamSilent", "to one", []string{`gatehouse_upstream_answering{job="gatehouse", instance="a", upstream="shop"} 1x5 0x15`, `gatehouse_upstream_answering{job="gatehouse", instance="b", upstream="shop"} 1x20`}, 15 * time.Minute, []string{"upstream=shop"}},
	{"GatehouseUpstreamSilent", "no more", []string{`gatehouse_upstream_answering{job="gatehouse", instance="a", upstream="shop"} 0x5 1x15`}, 15 * time.Minute, nil},
	{"GatehouseUpstreamAway", "from one", []string{`gatehouse_upstream_ready{job="gatehouse", instance="a", upstream="shop"} 1x20`, `gatehouse_upstream_ready{job="gatehouse", instance="b", upstream="shop"} 0x20`}, 15 * time.Minute, nil},

	{"GatehouseRetries", "a third again", []string{attempts + `"first"} 0+90x40`, attempts + `"retry"} 0+30x40`}, 30 * time.Minute, []string{"method=/m"}},
	{"GatehouseRetries", "a few", []string{attempts + `"first"} 0+90x40`, attempts + `"retry"} 0+3x40`}, 30 * time.Minute, nil},

	{"GatehouseRetryBudgetSpent", "spent", []string{withheld + `"budget"} 0+1x30`}, 20 * time.Minute, []string{"method=/m"}},
	{"GatehouseRetryBudgetSpent", "another reason", []string{withheld + `"attempts"} 0+1x30`}, 20 * time.Minute, nil},

	{"GatehouseRedisAway", "away", []string{"gatehouse_redis_up" + replica + "1x5 0x10"}, 10 * time.Minute, []string{"instance=a"}},
	{"GatehouseRedisAway", "there", []string{"gatehouse_redis_up" + replica + "1x15"}, 10 * time.Minute, nil},
	{"GatehouseRedisAway", "keys are not kept", []string{"gatehouse_redis_up" + replica + "1x20", "gatehouse_idempotency_store_failures_total" + replica + "0+1x20"}, 15 * time.Minute, []string{"instance=a"}},
	{"GatehouseRedisAway", "away, and keys are not kept", []string{"gatehouse_redis_up" + replica + "0x20", "gatehouse_idempotency_store_failures_total" + replica + "0+1x20"}, 15 * time.Minute, []string{"instance=a"}},
	{"GatehouseRedisAway", "keys were not kept long ago", []string{"gatehouse_redis_up" + replica + "1x20", "gatehouse_idempotency_store_failures_total" + replica + "7x20"}, 15 * time.Minute, nil},

	{"GatehouseRedisFails", "now and then", []string{"gatehouse_redis_up" + replica + "1x40", `gatehouse_redis_failures_total{job="gatehouse", instance="a", kind="failed"} 0+1x40`}, 30 * time.Minute, []string{""}},
	{"GatehouseRedisFails", "away, which another tells", []string{"gatehouse_redis_up" + replica + "0x40", `gatehouse_redis_failures_total{job="gatehouse", instance="a", kind="failed"} 0+1x40`}, 30 * time.Minute, nil},

	{"GatehouseReloadRefused", "refused", []string{"gatehouse_reload_last_result" + replica + "1x5 0x10"}, 12 * time.Minute, []string{"instance=a"}},
	{"GatehouseReloadRefused", "mended", []string{"gatehouse_reload_last_result" + replica + "0x5 1x10"}, 12 * time.Minute, nil},

	{"GatehouseCertificateRefused", "refused", []string{`gatehouse_certificate_last_result{job="gatehouse", instance="a", file="tls.crt"} 0x15`}, 12 * time.Minute, []string{"file=tls.crt"}},
	{"GatehouseCertificateRefused", "good", []string{`gatehouse_certificate_last_result{job="gatehouse", instance="a", file="tls.crt"} 1x15`}, 12 * time.Minute, nil},

	{"GatehouseCertificateEndsSoon", "in ten days", []string{expiry + "864000x120"}, 90 * time.Minute, []string{"file=tls.crt"}},
	{"GatehouseCertificateEndsSoon", "in a month", []string{expiry + "2592000x120"}, 90 * time.Minute, nil},
	{"GatehouseCertificateEnds", "today", []string{expiry + "80000x120"}, 90 * time.Minute, []string{"file=tls.crt"}},
	{"GatehouseCertificateEnds", "in ten days", []string{expiry + "864000x120"}, 90 * time.Minute, nil},

	{"GatehouseMemoryNearLimit", "at it", []string{"process_resident_memory_bytes" + replica + "99x20", "go_gc_gomemlimit_bytes" + replica + "100x20"}, 15 * time.Minute, []string{"instance=a"}},
	{"GatehouseMemoryNearLimit", "half", []string{"process_resident_memory_bytes" + replica + "50x20", "go_gc_gomemlimit_bytes" + replica + "100x20"}, 15 * time.Minute, nil},

	{"GatehouseGoroutinesGrow", "a leak", []string{"go_goroutines" + replica + "100+20x500", `gatehouse_calls_in_flight{job="gatehouse", instance="a", method="/m"} 3x500`}, 480 * time.Minute, []string{"instance=a"}},
	{"GatehouseGoroutinesGrow", "much to do", []string{"go_goroutines" + replica + "100+20x500", `gatehouse_calls_in_flight{job="gatehouse", instance="a", method="/m"} 3000x500`}, 480 * time.Minute, nil},
	{"GatehouseGoroutinesGrow", "as ever", []string{"go_goroutines" + replica + "3000x500", `gatehouse_calls_in_flight{job="gatehouse", instance="a", method="/m"} 3x500`}, 480 * time.Minute, nil},

	{"GatehouseFilesNearLimit", "90 %", []string{"process_open_fds" + replica + "90x20", "process_max_fds" + replica + "100x20"}, 15 * time.Minute, []string{"instance=a"}},
	{"GatehouseFilesNearLimit", "half", []string{"process_open_fds" + replica + "50x20", "process_max_fds" + replica + "100x20"}, 15 * time.Minute, nil},
}

func TestAlerts(t *testing.T) {
	all := rules(t)
	seen := map[string][2]bool{}
	for _, s := range scenarios {
		rule, ok := all[s.alert]
		if !ok {
			t.Errorf("there is no alert %s", s.alert)
			continue
		}
		both := seen[s.alert]
		both[min(len(s.fires), 1)] = true
		seen[s.alert] = both
		t.Run(s.alert+"/"+s.name, func(t *testing.T) {
			got := load(t, s.series).firing(t, rule, s.at)
			if len(got) != len(s.fires) {
				t.Fatalf("it fires for %v: want %d", got, len(s.fires))
			}
			for i, want := range s.fires {
				if name, value, _ := strings.Cut(want, "="); name != "" && got[i].Get(name) != value {
					t.Errorf("it fires for %v: want %s", got[i], want)
				}
			}
		})
	}
	for name := range all {
		if seen[name] != [2]bool{true, true} {
			t.Errorf("%s has no scenario in which it fires, or none in which it does not", name)
		}
	}
}

// TestAlertsSayWhatToDo wants each alert to lead to its section of the page, and
// each section to an alert.
func TestAlertsSayWhatToDo(t *testing.T) {
	_, runbook, found := strings.Cut(read(t, "docs", "DEPLOY.md"), "\n## What to do\n")
	if !found {
		t.Fatal(`the page has no section "What to do"`)
	}
	var sections []string
	for line := range strings.Lines(runbook) {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			sections = append(sections, strings.TrimSpace(name))
		}
	}
	all := rules(t)
	for name, rule := range all {
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s does not say what is wrong", name)
		}
		if severity := rule.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s: severity %q", name, severity)
		}
		if want := "docs/DEPLOY.md#" + strings.ToLower(name); rule.Annotations["runbook"] != want {
			t.Errorf("%s: runbook %q: want %q", name, rule.Annotations["runbook"], want)
		}
		if !slices.Contains(sections, name) {
			t.Errorf("docs/DEPLOY.md does not say what to do about %s", name)
		}
	}
	if len(sections) != len(all) {
		t.Errorf("%d sections for %d alerts", len(sections), len(all))
	}
}
