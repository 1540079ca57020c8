package upstream

import (
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// An upstream counts as silent once silentCalls in a row, over silentTime, ended at
// their deadline without an answer. Its process may hang with its connections
// ready: its kernel acknowledges all that is sent.
const (
	silentCalls = 3
	silentTime  = 10 * time.Second
)

// silence notices that an upstream answers nothing. Nothing but an answer tells that
// it does again. The zero value is that of an upstream that answers. It is safe
// for concurrent use.
type silence struct {
	pending atomic.Bool // there is something to forget; the one read that an answer costs

	mu    sync.Mutex
	calls int       // that ended in a row; guarded by mu
	first time.Time // when the first of them did; guarded by mu
	since time.Time // as first, once it is silent, else zero; guarded by mu
}

// missed counts a call that ended at its deadline without an answer.
func (s *silence) missed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.calls == 0 {
		s.first = now
	}
	s.calls++
	s.pending.Store(true)
	if s.calls >= silentCalls && now.Sub(s.first) >= silentTime {
		s.since = s.first
	}
}

// heard forgets what was missed: a part of an answer has come.
func (s *silence) heard() {
	if !s.pending.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.since = 0, time.Time{}
	s.pending.Store(false)
}

// silentSince is when the first of the calls ended that tell of silence, zero
// for an upstream that is not silent.
func (s *silence) silentSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since
}

// unanswered reports whether a unary call that ended with err had time enough, and
// no part of an answer.
func (x *exchange) unanswered(err error) bool {
	return x.has(sent) && !x.has(headersCame|trailersCame) &&
		call.CodeOf(err) == codes.DeadlineExceeded && call.OutcomeOf(x, err) == call.Failed
}
