package retry

import (
	"io"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// settle says that no further attempt will be made, and gives up what was kept
// for one.
func (s *stream) settle() {
	s.settled = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.unhook()
	s.forget()
}

// release ends an attempt.
func (s *stream) release() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.cancel(nil)
}

// count tells once how the attempt that counts went: by its first message, or by
// its end if it has none.
func (s *stream) count(err error) {
	if err != nil {
		s.release()
	}
	if s.counted {
		return
	}
	s.counted = true
	if err == nil || err == io.EOF {
		s.tries.budget.succeeded()
		err = nil
	}
	if err != nil && s.tries.attempts > 1 {
		s.tries.series.withhold(s.tries.obstacle(err, true))
	}
	s.tries.series.attempt(s.tries.kind(), outcomeOf(err))
}

// keep holds a reference to the request, which its sender may free, and reports
// whether it could. What is not wire bytes cannot be sent twice.
func (s *stream) keep(m any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return true
	}
	msg, ok := m.(*call.Message)
	if !ok || s.sent != nil {
		return false
	}
	msg.Data.Ref()
	s.sent = &call.Message{Data: msg.Data}
	return true
}

// kept is another reference to the request, nil if there is none.
func (s *stream) kept() *call.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == nil {
		return nil
	}
	s.sent.Data.Ref()
	return &call.Message{Data: s.sent.Data}
}

// forget gives that reference up, once.
func (s *stream) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.sent != nil {
		s.sent.Free()
		s.sent = nil
	}
}

// deliver gives away the message that Header received.
func (s *stream) deliver(m any) error {
	msg := s.held
	s.held = nil
	if into, ok := m.(*call.Message); ok {
		into.Free()
		*into = *msg
		return nil
	}
	defer msg.Free()
	return call.Codec{}.Unmarshal(msg.Data, m)
}
