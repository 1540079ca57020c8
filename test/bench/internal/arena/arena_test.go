package arena_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/arena"
)

func TestSameMeaning(t *testing.T) {
	const want = `{"name":"a","tags":["x","y"],"price":{"units":"19"},"none":null}`
	for _, tc := range []struct {
		name, got, says string
	}{
		{"order and space", `{ "price": {"units":"19"}, "tags":["x","y"], "none":null, "name":"\u0061" }`, ""},
		{"cut off", `{"name":"a"`, "not JSON"},
		{"missing", `{"name":"a","tags":["x","y"],"price":{},"none":null}`, "$.price.units is missing"},
		{"too much", `{"name":"a","tags":["x","y"],"price":{"units":"19","nanos":1},"none":null}`, "$.price.nanos is there, as 1"},
		{"other order of elements", `{"name":"a","tags":["y","x"],"price":{"units":"19"},"none":null}`, `$.tags[0] is "y", want "x"`},
		{"fewer elements", `{"name":"a","tags":["x"],"price":{"units":"19"},"none":null}`, `$.tags is ["x"]`},
		{"other type", `{"name":"a","tags":["x","y"],"price":{"units":19},"none":null}`, `$.price.units is 19, want "19"`},
		{"null is not absence", `{"name":"a","tags":["x","y"],"price":{"units":"19"}}`, "$.none is missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := arena.SameMeaning([]byte(tc.got), []byte(want))
			switch {
			case tc.says == "" && err != nil:
				t.Errorf("got %v, want no difference", err)
			case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}
