package live

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/interceptors/breaker"
	"github.com/gatehouse-dev/gatehouse/interceptors/cache"
	"github.com/gatehouse-dev/gatehouse/interceptors/concurrency"
	"github.com/gatehouse-dev/gatehouse/interceptors/deprecation"
	"github.com/gatehouse-dev/gatehouse/interceptors/fallback"
	"github.com/gatehouse-dev/gatehouse/interceptors/idempotency"
	"github.com/gatehouse-dev/gatehouse/interceptors/metrics"
	"github.com/gatehouse-dev/gatehouse/interceptors/mirror"
	"github.com/gatehouse-dev/gatehouse/interceptors/ratelimit"
	"github.com/gatehouse-dev/gatehouse/interceptors/retry"
	"github.com/gatehouse-dev/gatehouse/interceptors/shed"
	"github.com/gatehouse-dev/gatehouse/interceptors/tracing"
	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/logging"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/internal/redis"
)

// newPolicies returns the policies without those that newState adds. The log is nil where
// Options.Log writes.
func newPolicies(o Options, reg prometheus.Registerer) (p compile.Policies, _ *logging.Log, err error) {
	conf := o.Config.Config.GetLog()
	p = compile.Policies{Log: o.Log, AccessLog: o.Log, Custom: o.Custom, Link: o.link}
	if p.Link == nil {
		p.Link = interceptors.Chain
	}
	var log *logging.Log
	if o.Log == nil {
		if log, err = logging.New(conf, o.LogTo, reg); err != nil {
			return p, nil, err
		}
		p.Log, p.AccessLog, p.AdmitLine = log.Own(), log.Calls(), log.Admit
	}
	if !conf.GetAccess() {
		p.AccessLog = nil
	}
	return p, log, nil
}

// state owns the policies with what they keep from table to table.
type state struct {
	compile.Policies

	closers []func() error
}

// newState adds the policies that keep state. After an error, nothing is left running.
func (g *Gateway) newState(ctx context.Context, policies compile.Policies, file *config.File) (*state, error) {
	s, c, reg := &state{Policies: policies}, file.Config, g.collectors
	for _, add := range []func() error{
		func() (err error) { s.Metrics, err = metrics.New(reg); return err },
		func() error { return s.addTracing(ctx, c.GetTracing(), g.certs, g.version) },
		func() (err error) {
			s.Shedder, err = shed.New(c.GetShedding(), reg)
			return compile.Place(file, "shedding", err)
		},
		func() error { return s.addShared(file, g.certs, reg) },
		func() (err error) { s.Caps, err = concurrency.New(reg); return err },
		func() (err error) { s.Retries, err = retry.New(reg, nil); return err },
		func() (err error) { s.Breakers, err = breaker.New(reg, nil); return err },
		func() (err error) { s.Deprecations, err = deprecation.New(reg); return err },
		func() error { return s.addStores(c, reg) },
		func() error { return s.addMirrors(reg, g.memory) },
	} {
		if err := add(); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// shutdownTime is how long the last spans may take to be sent.
const shutdownTime = 5 * time.Second

func (s *state) addTracing(ctx context.Context, c *configv1.Tracing, store *certs.Store, version string) error {
	secure, err := clientTLS(store, c.GetTls())
	if err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	s.Tracing, err = tracing.New(ctx, tracing.Options{
		Endpoint: c.GetOtlpEndpoint(), Credentials: credentialsOf(secure), SampleRatio: c.GetSampleRatio(),
		ServiceName: c.GetServiceName(), ServiceVersion: version, Log: s.Log,
	})
	if err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		if err := s.Tracing.Shutdown(ctx); err != nil {
			s.Log.Warn("the last spans were not sent", "error", err)
		}
		return nil
	})
	return nil
}

// addShared adds what replicas may share: limits and idempotency keys.
func (s *state) addShared(file *config.File, store *certs.Store, reg prometheus.Registerer) (err error) {
	var shared *redis.Store // nil for none
	if c := file.Config.GetRedis(); c != nil {
		secure, err := clientTLS(store, c.GetTls())
		if err != nil {
			return compile.Place(file, "redis.tls", err)
		}
		var conf func() *tls.Config
		if secure != nil {
			conf = secure.Config
		}
		shared, err = redis.Dial(redis.Options{
			Addresses: c.GetAddresses(), Username: c.GetUsername(), Password: c.GetPassword(), TLS: conf,
			Database: int(c.GetDatabase()), Prefix: c.GetPrefix(), Timeout: c.GetTimeout().AsDuration(), Registerer: reg, Log: s.Log,
		})
		if err != nil {
			return compile.Place(file, "redis", err)
		}
		s.closers = append(s.closers, shared.Close)
	}
	s.Limits, err = ratelimit.New(ratelimit.Options{Redis: shared, Registerer: reg, Log: s.Log})
	if err != nil {
		return err
	}
	room := file.Config.GetIdempotencyMemory()
	s.Idempotency, err = idempotency.New(idempotency.Options{
		Redis: shared, Registerer: reg, Log: s.Log, MaxBytes: room.GetMaxBytes(), CallerShare: room.GetCallerShare(),
	})
	return err
}

// addStores adds the policies that keep answers.
func (s *state) addStores(c *configv1.Config, reg prometheus.Registerer) error {
	store, err := answers.NewStore(c.GetAnswers().GetMaxBytes(), reg)
	if err != nil {
		return err
	}
	if s.Caches, err = cache.New(store, reg); err != nil {
		return err
	}
	s.Fallbacks, err = fallback.New(store, reg)
	return err
}

// addMirrors adds the policy that sends copies of calls.
func (s *state) addMirrors(reg prometheus.Registerer, room *memory.Process) (err error) {
	if s.Mirrors, err = mirror.New(reg, s.Log, room.NewBackground(), nil); err != nil {
		return err
	}
	s.closers = append(s.closers, s.Mirrors.Close)
	return nil
}

// with returns the policies for a table that has these authenticators.
func (s *state) with(a *auth.Authenticators) *compile.Policies {
	p := s.Policies
	p.Authenticators = a
	return &p
}

// close ends the goroutines and connections of the policies.
func (s *state) close() error {
	var errs []error
	for _, end := range slices.Backward(s.closers) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}
