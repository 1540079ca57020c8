package live

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// TestReflectionEndsWhenIdle: a stream on which nothing is asked for long ends, and
// so does one on which something is asked for ever.
func TestReflectionEndsWhenIdle(t *testing.T) {
	for name, tc := range map[string]struct {
		every time.Duration
		want  time.Duration
	}{"idle": {time.Hour, reflectionIdle}, "never idle": {reflectionIdle / 2, reflectionTime}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				begin := time.Now()
				err := endIdle(ctx, func(asked func()) error {
					tick := time.NewTicker(tc.every)
					defer tick.Stop()
					for {
						select {
						case <-tick.C:
							asked()
						case <-ctx.Done():
							return ctx.Err()
						}
					}
				})
				if took := time.Since(begin); took != tc.want || call.CodeOf(err) != codes.DeadlineExceeded {
					t.Errorf("ended after %v with %v, want after %v", took, err, tc.want)
				}
			})
		})
	}
}
