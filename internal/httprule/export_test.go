package httprule

// Steps is how many nodes of the tree the last match visited. Cost is asserted
// in steps: time depends on the machine.
func (m *Match[T]) Steps() int { return m.walk.steps }
