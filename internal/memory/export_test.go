package memory

import "context"

// Reserve waits for the room of a request of n bytes, which then arrives.
func (s *Share) Reserve(ctx context.Context, n int64) error {
	if err := s.Promise(ctx, n); err != nil {
		return err
	}
	if err := s.Arrived(n); err != nil {
		s.Forgo(n)
		return err
	}
	return nil
}
