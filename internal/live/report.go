package live

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
)

// reports count and log how reloads end:
//
//	gatehouse_reloads_total{result}                   ok, refused or unchanged
//	gatehouse_reload_last_success_timestamp_seconds   of the Unix epoch
//	gatehouse_reload_last_result                      1, or 0 if it was refused
//	gatehouse_reload_contracts_unread_total           contracts that a backend did not send
type reports struct {
	last    atomic.Pointer[admin.Attempt]
	problem string // that was logged last; guarded by Gateway.building

	results     *prometheus.CounterVec
	unread      prometheus.Counter
	lastSuccess prometheus.Gauge
	lastResult  prometheus.Gauge
}

func newReports(reg prometheus.Registerer) (*reports, error) {
	r := &reports{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_reloads_total", Help: "Reloads of configuration and contracts, by result: ok, refused, unchanged.",
		}, []string{"result"}),
		unread: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_reload_contracts_unread_total", Help: "Contracts that a backend did not tell when it was asked for changes.",
		}),
		lastSuccess: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_reload_last_success_timestamp_seconds", Help: "When the configuration was last found right, in seconds of the Unix epoch.",
		}),
		lastResult: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_reload_last_result", Help: "Whether the last reload was taken (1) or refused (0).",
		}),
	}
	for _, result := range []admin.Result{admin.Taken, admin.Refused, admin.Unchanged} {
		r.results.WithLabelValues(string(result)) // so that the series begin at 0
	}
	r.lastSuccess.SetToCurrentTime()
	r.lastResult.Set(1)
	r.last.Store(&admin.Attempt{At: time.Now(), Trigger: compile.AtStart, Result: admin.Taken})
	return r, collect.Register(reg, r.results, r.unread, r.lastSuccess, r.lastResult)
}

// add reports how a reload ended, after which now is in force.
func (r *reports) add(why compile.Trigger, result admin.Result, err error, now *compile.Table, log *slog.Logger) {
	a := &admin.Attempt{At: time.Now(), Trigger: why, Result: result, Errors: config.Messages(err)}
	r.last.Store(a)
	r.results.WithLabelValues(string(result)).Inc()
	log = log.With("trigger", string(why))
	if result == admin.Refused {
		r.lastResult.Set(0)
		r.logErrors(log, a)
		return
	}
	r.problem = ""
	r.lastResult.Set(1)
	r.lastSuccess.SetToCurrentTime()
	if result == admin.Unchanged {
		log.Debug("nothing has changed")
		return
	}
	log.Info("configuration reloaded", "file", now.File.Name, "sha256", now.File.SHA256, "rpcs", len(now.Methods))
	for _, warning := range now.Warnings {
		log.Warn(warning)
	}
}

// logErrors logs a problem that stays from reload to reload once, and again for who asked
// for a reload.
func (r *reports) logErrors(log *slog.Logger, a *admin.Attempt) {
	all := strings.Join(a.Errors, "\n")
	if all == r.problem && a.Trigger != compile.BySignal {
		return
	}
	r.problem = all
	for _, text := range a.Errors {
		log.Error("a reload was refused: the last good configuration stays", "error", text)
	}
}

// reloads is what the admin listener shows of reloads.
func (g *Gateway) reloads() admin.Reloads {
	return admin.Reloads{Last: g.reports.last.Load(), Draining: g.countDraining(), Certificates: g.certs.States()}
}

// Status is what the gateway serves by, and how the last reload ended.
func (g *Gateway) Status() admin.Status { return admin.StatusOf(g.Table(), g.reloads()) }
