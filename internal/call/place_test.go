package call_test

import (
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// place counts how often it was given back.
type place struct{ left int }

func (p *place) Leave() { p.left++ }

func TestPlacesAreGivenBackOnce(t *testing.T) {
	var c call.Call
	early, late, ended := new(place), new(place), new(place)
	c.TakePlace(ended)
	c.LeavePlace(ended)
	if c.TakePlace(early); c.Waited() {
		t.Error("it has waited for its client before it did")
	}
	c.LeavePlaces()
	c.LeavePlace(early) // at its end
	c.TakePlace(late)
	c.LeavePlace(late)
	if early.left != 1 || late.left != 1 || ended.left != 1 || !c.Waited() {
		t.Errorf("left %d, %d and %d times, want once each; waited: %t", early.left, late.left, ended.left, c.Waited())
	}
	var nobody *call.Call
	alone := new(place)
	nobody.TakePlace(alone)
	nobody.LeavePlaces()
	if nobody.LeavePlace(alone); alone.left != 1 || nobody.Waited() {
		t.Errorf("without a call, it was left %d times, want once", alone.left)
	}
}
