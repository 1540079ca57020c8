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
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/internal/redis"
)

// state owns the policies with what they remember. It outlives tables.
type state struct {
	compile.Policies

	closers []func() error
}

// stateOptions are what state is made from.
type stateOptions struct {
	file    *config.File
	certs   *certs.Store
	metrics prometheus.Registerer
	memory  *memory.Process
	version string
}

// newState adds to the policies all that remembers something, empty. What it began
// is ended by close, also after an error.
func newState(ctx context.Context, policies compile.Policies, o stateOptions) (*state, error) {
	s, c := &state{Policies: policies}, o.file.Config
	for _, begin := range []func() error{
		func() (err error) { s.Metrics, err = metrics.New(o.metrics); return err },
		func() error { return s.trace(ctx, c.GetTracing(), o.certs, o.version) },
		func() (err error) {
			s.Shedder, err = shed.New(c.GetShedding(), o.metrics)
			return compile.Place(o.file, "shedding", err)
		},
		func() error { return s.share(o.file, o.certs, o.metrics) },
		func() (err error) { s.Caps, err = concurrency.New(o.metrics); return err },
		func() (err error) { s.Retries, err = retry.New(o.metrics, nil); return err },
		func() (err error) { s.Breakers, err = breaker.New(o.metrics, nil); return err },
		func() (err error) { s.Deprecations, err = deprecation.New(o.metrics); return err },
		func() error { return s.keep(c, o.metrics) },
		func() error { return s.copy(o.metrics, o.memory) },
	} {
		if err := begin(); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// shutdownTime is how long the last spans may take to be sent.
const shutdownTime = 5 * time.Second

func (s *state) trace(ctx context.Context, c *configv1.Tracing, store *certs.Store, version string) error {
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

// share makes what replicas may share.
func (s *state) share(file *config.File, store *certs.Store, reg prometheus.Registerer) (err error) {
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

// keep makes the memory for answers.
func (s *state) keep(c *configv1.Config, reg prometheus.Registerer) error {
	store, err := answers.NewStore(c.GetAnswers(), reg)
	if err != nil {
		return err
	}
	if s.Caches, err = cache.New(store, reg); err != nil {
		return err
	}
	s.Fallbacks, err = fallback.New(store, reg)
	return err
}

// copy makes what sends copies of calls.
func (s *state) copy(reg prometheus.Registerer, room *memory.Process) (err error) {
	if s.Mirrors, err = mirror.New(reg, s.Log, room.NewBackground(), nil); err != nil {
		return err
	}
	s.closers = append(s.closers, s.Mirrors.Close)
	return nil
}

// close ends what runs in the background.
func (s *state) close() error {
	var errs []error
	for _, end := range slices.Backward(s.closers) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}
