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

// reload is what is known of reloads. Its fields are guarded by Gateway.building,
// but for last.
type reload struct {
	gateway *Gateway
	load    func() (*config.File, []string, error)
	marks   marks
	missed  bool // a file could have changed while it was read
	problem string
	last    atomic.Pointer[admin.Attempt]

	results     *prometheus.CounterVec
	unread      prometheus.Counter
	lastSuccess prometheus.Gauge
	lastResult  prometheus.Gauge
}

// begin registers what tells of reloads:
//
//	gatehouse_reloads_total{result}                   ok, refused or unchanged
//	gatehouse_reload_last_success_timestamp_seconds   of the Unix epoch
//	gatehouse_reload_last_result                      1, or 0 if it was refused
//	gatehouse_reload_contracts_unread_total           contracts that a backend did not tell
//	gatehouse_reload_tables_draining                  replaced, with calls that still run
func (r *reload) begin(g *Gateway, o Options) error {
	r.gateway, r.load = g, o.Load
	r.marks = marks{}
	if o.Load == nil {
		r.load = func() (*config.File, []string, error) { return g.Table().File, nil, nil }
	}
	r.results = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_reloads_total", Help: "Reloads of configuration and contracts, by result: ok, refused, unchanged.",
	}, []string{"result"})
	r.unread = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "gatehouse_reload_contracts_unread_total", Help: "Contracts that a backend did not tell when it was asked for changes.",
	})
	r.lastSuccess = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gatehouse_reload_last_success_timestamp_seconds", Help: "When the configuration was last found right, in seconds of the Unix epoch.",
	})
	r.lastResult = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gatehouse_reload_last_result", Help: "Whether the last reload was taken (1) or refused (0).",
	})
	draining := collect.Gauge("gatehouse_reload_tables_draining", "Tables that were replaced and have calls that still run.", func() float64 { return float64(g.draining()) })
	for _, result := range []admin.Result{admin.Taken, admin.Refused, admin.Unchanged} {
		r.results.WithLabelValues(string(result))
	}
	r.lastSuccess.SetToCurrentTime()
	r.lastResult.Set(1)
	r.last.Store(&admin.Attempt{At: time.Now(), Trigger: compile.AtStart, Result: admin.Taken})
	r.follow(o.Config, nil, time.Now())
	return collect.Register(g.registry, r.results, r.unread, r.lastSuccess, r.lastResult, draining)
}

// look marks the files before they are read.
func (r *reload) look() { r.marks, _ = r.marks.look() }

// changed tells whether one of the files has changed since it was read.
func (r *reload) changed() bool {
	now, changed := r.marks.look()
	if !changed {
		r.marks = now
	}
	return changed || r.missed
}

// read reads the configuration, and remembers of which files it is made.
func (r *reload) read() (*config.File, error) {
	began := time.Now()
	file, files, err := r.load()
	r.follow(file, files, began)
	return file, err
}

// follow watches the files of a configuration from now on. One that was not
// watched before may have changed since it was read: it is looked at once more,
// unless its time says otherwise.
func (r *reload) follow(file *config.File, read []string, began time.Time) {
	now := marks{}
	r.missed = false
	for path := range filesOf(file, read) {
		if p, ok := r.marks[path]; ok {
			now[path] = p
			continue
		}
		p := markOf(path, mark{})
		now[path] = p
		r.missed = r.missed || p.info != nil && began.Sub(p.info.ModTime()) < settled
	}
	r.marks = now
}

// note counts and logs how a reload ended. A mistake that stays is logged once.
func (r *reload) note(why compile.Trigger, result admin.Result, err error) {
	a := &admin.Attempt{At: time.Now(), Trigger: why, Result: result, Errors: config.Messages(err)}
	r.last.Store(a)
	r.results.WithLabelValues(string(result)).Inc()
	log := r.gateway.log.With("trigger", string(why))
	if result == admin.Refused {
		r.lastResult.Set(0)
		r.tell(log, a)
		return
	}
	r.problem = ""
	r.lastResult.Set(1)
	r.lastSuccess.SetToCurrentTime()
	if result == admin.Unchanged {
		log.Debug("nothing has changed")
		return
	}
	now := r.gateway.Table()
	log.Info("configuration reloaded", "file", now.File.Name, "sha256", now.File.SHA256, "rpcs", len(now.Methods))
	for _, warning := range now.Warnings {
		log.Warn(warning)
	}
}

func (r *reload) tell(log *slog.Logger, a *admin.Attempt) {
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
	return admin.Reloads{Last: g.reload.last.Load(), Draining: g.draining(), Certificates: g.certs.States()}
}

// Status is what the gateway serves by, and how the last reload ended.
func (g *Gateway) Status() admin.Status { return admin.StatusOf(g.Table(), g.reloads()) }
