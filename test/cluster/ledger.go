package cluster

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/cluster/contract"
)

// Result is what became of a call, as the package comment has it.
type Result string

// All results.
const (
	Answered  Result = "answered"
	Refused   Result = "refused" // by the shared limit
	Undecided Result = "undecided"
	Cut       Result = "cut"   // a stream that ended with an error
	Lost      Result = "lost"  // an idempotent call without an answer
	Wrong     Result = "wrong" // an error for which there is no cause
)

// Record is one call of a client.
type Record struct {
	Call       call
	Begin, End time.Time
	Attempts   int
	Result     Result
	Got        []contract.Answer
	Failure    *failure // the last
}

// Ledger is all calls of a load. It is safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	records []*Record
}

func (l *Ledger) add(r *Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
}

// Records are all calls so far.
func (l *Ledger) Records() []*Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clip(l.records)
}

// Audit holds calls against the executions in the journals, and returns what is
// not as the package comment promises.
func Audit(records []*Record, journal []contract.Entry) []string {
	a := audit{done: map[string][]contract.Entry{}, answers: map[string]string{}}
	for _, e := range journal {
		a.done[e.Nonce] = append(a.done[e.Nonce], e)
	}
	for _, r := range records {
		a.record(r)
	}
	return a.faults
}

type audit struct {
	done    map[string][]contract.Entry // by nonce
	answers map[string]string           // the nonce that an execution answered
	faults  []string
}

func (a *audit) fault(r *Record, format string, args ...any) {
	a.faults = append(a.faults, fmt.Sprintf("%s %s, %d attempts in %v: %s",
		r.Call.method(), r.Call.ask.Nonce, r.Attempts, r.End.Sub(r.Begin).Round(time.Millisecond), fmt.Sprintf(format, args...)))
}

func (a *audit) record(r *Record) {
	switch r.Result {
	case Lost:
		a.fault(r, "an idempotent call is lost: %v", r.Failure)
	case Wrong:
		a.fault(r, "an error without a cause: %v", r.Failure)
	}
	executions := a.done[r.Call.ask.Nonce]
	if unsafe(r.Call.rpc) && len(executions) > 1 {
		a.fault(r, "a duplicate of an unsafe call (%s): executed as %v", r.Result, executions)
	}
	if r.Result == Refused && len(executions) > 0 {
		a.fault(r, "it was refused and executed as %v", executions)
	}
	for i, got := range r.Got {
		a.answer(r, i, got)
	}
	if whole := len(r.Got) == wanted(r.Call); r.Result == Answered && !whole {
		a.fault(r, "it ended well with %d messages, want %d", len(r.Got), wanted(r.Call))
	}
}

// answer looks at one answer, or message of a stream.
func (a *audit) answer(r *Record, i int, got contract.Answer) {
	ask := r.Call.ask
	if got.Nonce != ask.Nonce || got.Digest != ask.Digest(r.Call.method()) {
		a.fault(r, "a wrong answer: %+v", got)
	}
	if int(got.Number) != i {
		a.fault(r, "message %d came in place %d", got.Number, i)
	}
	if other, ok := a.answers[got.Execution]; ok && other != ask.Nonce || got.Execution == "" {
		a.fault(r, "a wrong answer: execution %q gave the answer of %s too", got.Execution, other)
	}
	a.answers[got.Execution] = ask.Nonce
	if !journalled(r.Call.rpc) {
		return
	}
	for _, e := range a.done[ask.Nonce] {
		if e.Execution == got.Execution && e.RPC == r.Call.rpc {
			return
		}
	}
	a.fault(r, "a wrong answer: %q is in no journal under its nonce", got.Execution)
}

func wanted(c call) int { return max(int(c.ask.Count), 1) }

// unsafe tells the RPCs that may be executed once.
func unsafe(rpc string) bool { return rpc == "Order" || rpc == "Fire" || rpc == "Limited" }

// journalled tells the RPCs that have side effects.
func journalled(rpc string) bool { return unsafe(rpc) || rpc == "Put" }
