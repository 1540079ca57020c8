package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
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
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/internal/redis"
)

// state is what policies remember. It outlives tables: a new one neither refills
// a limit nor closes a breaker.
type state struct {
	metrics     *metrics.Metrics
	tracing     *tracing.Tracing
	shed        *shed.Shedder
	limits      *ratelimit.Limits
	caps        *concurrency.Caps
	idempotency *idempotency.Keys
	cache       *cache.Caches
	fallback    *fallback.Fallbacks
	retries     *retry.Retries
	breakers    *breaker.Breakers
	mirrors     *mirror.Mirrors
	deprecated  *deprecation.Deprecations
	redis       *redis.Store // nil: none

	closers []func() error
}

// newState makes it all, empty. What it began is ended by close, also after an
// error.
func newState(ctx context.Context, file *config.File, store *certs.Store, reg prometheus.Registerer, log *slog.Logger, room *memory.Process, version string) (*state, error) {
	s, c := new(state), file.Config
	for _, begin := range []func() error{
		func() (err error) { s.metrics, err = metrics.New(reg); return err },
		func() error { return s.trace(ctx, c.GetTracing(), store, log, version) },
		func() (err error) { s.shed, err = shed.New(c.GetShedding(), reg); return at(file, "shedding", err) },
		func() error { return s.share(file, store, reg, log) },
		func() (err error) { s.caps, err = concurrency.New(reg); return err },
		func() (err error) { s.retries, err = retry.New(reg, nil); return err },
		func() (err error) { s.breakers, err = breaker.New(reg, nil); return err },
		func() (err error) { s.deprecated, err = deprecation.New(reg); return err },
		func() error { return s.keep(c, reg) },
		func() error { return s.copy(reg, log, room) },
	} {
		if err := begin(); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// at places the mistakes in err, which are about the settings in a field.
func at(file *config.File, field string, err error) error {
	var errs []error
	for _, e := range interceptors.FieldErrors(interceptors.Within(field, err)) {
		errs = append(errs, file.Errorf(e.Path, "%v", e.Err))
	}
	return errors.Join(errs...)
}

// shutdownTime is how long the last spans may take to be sent.
const shutdownTime = 5 * time.Second

func (s *state) trace(ctx context.Context, c *configv1.Tracing, store *certs.Store, log *slog.Logger, version string) error {
	secure, err := clientTLS(store, c.GetTls())
	if err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	s.tracing, err = tracing.New(ctx, tracing.Options{
		Endpoint: c.GetOtlpEndpoint(), Credentials: credentialsOf(secure), SampleRatio: c.GetSampleRatio(),
		ServiceName: c.GetServiceName(), ServiceVersion: version, Log: log,
	})
	if err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		if err := s.tracing.Shutdown(ctx); err != nil {
			log.Warn("the last spans were not sent", "error", err)
		}
		return nil
	})
	return nil
}

// share makes what replicas may share.
func (s *state) share(file *config.File, store *certs.Store, reg prometheus.Registerer, log *slog.Logger) (err error) {
	if c := file.Config.GetRedis(); c != nil {
		secure, err := clientTLS(store, c.GetTls())
		if err != nil {
			return at(file, "redis.tls", err)
		}
		var conf func() *tls.Config
		if secure != nil {
			conf = secure.Config
		}
		s.redis, err = redis.Dial(redis.Options{
			Addresses: c.GetAddresses(), Username: c.GetUsername(), Password: c.GetPassword(), TLS: conf,
			Database: int(c.GetDatabase()), Prefix: c.GetPrefix(), Timeout: c.GetTimeout().AsDuration(), Registerer: reg, Log: log,
		})
		if err != nil {
			return at(file, "redis", err)
		}
		s.closers = append(s.closers, s.redis.Close)
	}
	s.limits, err = ratelimit.New(ratelimit.Options{Redis: s.redis, Registerer: reg, Log: log})
	if err != nil {
		return err
	}
	room := file.Config.GetIdempotencyMemory()
	s.idempotency, err = idempotency.New(idempotency.Options{
		Redis: s.redis, Registerer: reg, Log: log, MaxBytes: room.GetMaxBytes(), CallerShare: room.GetCallerShare(),
	})
	return err
}

// keep makes the memory for answers.
func (s *state) keep(c *configv1.Config, reg prometheus.Registerer) error {
	store, err := answers.NewStore(c.GetAnswers(), reg)
	if err != nil {
		return err
	}
	if s.cache, err = cache.New(store, reg); err != nil {
		return err
	}
	s.fallback, err = fallback.New(store, reg)
	return err
}

// copy makes what sends copies of calls.
func (s *state) copy(reg prometheus.Registerer, log *slog.Logger, room *memory.Process) (err error) {
	if s.mirrors, err = mirror.New(reg, log, room.NewBackground(), nil); err != nil {
		return err
	}
	s.closers = append(s.closers, s.mirrors.Close)
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
