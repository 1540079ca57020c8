package gateway

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
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
	last    atomic.Pointer[Attempt]

	results     *prometheus.CounterVec
	unread      prometheus.Counter
	lastSuccess prometheus.Gauge
	lastResult  prometheus.Gauge
}

// Attempt is how the last reload ended.
type Attempt struct {
	At      time.Time `json:"at"`
	Trigger Trigger   `json:"trigger"`
	Result  Result    `json:"result"`
	Errors  []string  `json:"errors,omitempty"` // why it was refused, one mistake each
}

// Status is what the gateway serves by, and how the last reload ended.
type Status struct {
	File    string    `json:"file,omitempty"` // "" for a configuration that a program made
	SHA256  string    `json:"sha256,omitempty"`
	Since   time.Time `json:"since"`   // when the table in force was built
	Trigger Trigger   `json:"trigger"` // why it was
	Last    *Attempt  `json:"last_attempt"`
	// Draining is how many tables of before still have calls that run.
	Draining int `json:"draining"`
	// Certificates are those in use, and why one cannot be read anew.
	Certificates []certs.State `json:"certificates"`
	// Config are all fields of the configuration with their values, by path; what
	// was substituted is not shown. Text is the same as YAML.
	Config map[string]string `json:"values"`
	Text   string            `json:"config"`
	// Policies are the fields of the policies in force, by RPC and path.
	Policies map[string]map[string]string `json:"policies"`
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
		r.load = func() (*config.File, []string, error) { return g.Config(), nil, nil }
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
	for _, result := range []Result{Taken, Refused, Unchanged} {
		r.results.WithLabelValues(string(result))
	}
	r.lastSuccess.SetToCurrentTime()
	r.lastResult.Set(1)
	r.last.Store(&Attempt{At: time.Now(), Trigger: AtStart, Result: Taken})
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
func (r *reload) note(why Trigger, result Result, err error) {
	a := &Attempt{At: time.Now(), Trigger: why, Result: result, Errors: messages(err)}
	r.last.Store(a)
	r.results.WithLabelValues(string(result)).Inc()
	log := r.gateway.parts.log.With("trigger", string(why))
	if result == Refused {
		r.lastResult.Set(0)
		r.tell(log, a)
		return
	}
	r.problem = ""
	r.lastResult.Set(1)
	r.lastSuccess.SetToCurrentTime()
	if result == Unchanged {
		log.Debug("nothing has changed")
		return
	}
	now := r.gateway.served()
	log.Info("configuration reloaded", "file", now.file.Name, "sha256", now.file.SHA256, "rpcs", len(now.exposed))
	for _, warning := range now.warnings {
		log.Warn(warning)
	}
}

func (r *reload) tell(log *slog.Logger, a *Attempt) {
	all := strings.Join(a.Errors, "\n")
	if all == r.problem && a.Trigger != BySignal {
		return
	}
	r.problem = all
	for _, text := range a.Errors {
		log.Error("a reload was refused: the last good configuration stays", "error", text)
	}
}

// messages are the mistakes in an error, one each.
func messages(err error) []string {
	var all []string
	for _, one := range flattened(err) {
		list, ok := errors.AsType[config.Errors](one)
		if !ok {
			all = append(all, one.Error())
		}
		for _, mistake := range list {
			all = append(all, mistake.Error())
		}
	}
	return all
}

// Status tells what the gateway serves by.
func (g *Gateway) Status() Status {
	now := g.served()
	var text strings.Builder
	_ = now.file.Print(&text) // to memory, which does not fail
	s := Status{
		File: now.file.Name, SHA256: now.file.SHA256, Since: now.since, Trigger: now.trigger, Last: g.reload.last.Load(),
		Draining: g.draining(), Certificates: g.certs.States(), Config: now.file.Values(), Text: text.String(), Policies: map[string]map[string]string{},
	}
	for _, e := range now.exposed {
		s.Policies[e.Name] = e.effective.Values()
	}
	return s
}

// Contract is a google.protobuf.FileDescriptorSet of the RPCs that are served, in
// wire bytes: each file behind those that it imports. Where upstreams differ about
// a file, it is that of the first RPC, by name, that needs it.
func (g *Gateway) Contract() ([]byte, error) {
	set := new(descriptorpb.FileDescriptorSet)
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] || file.IsPlaceholder() {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	for _, m := range g.current.Load().Methods() {
		if m.Desc != nil {
			add(m.Desc.ParentFile())
		}
	}
	return proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(set)
}
