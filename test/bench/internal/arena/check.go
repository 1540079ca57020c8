package arena

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/contender"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/raw"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

func body(b []byte) io.Reader {
	if len(b) == 0 {
		return nil
	}
	return bytes.NewReader(b)
}

// check makes one exchange and looks at it from both sides: the answer must
// mean what is right, and the backend must have received what was meant. It
// returns the length of the answer, which all others must have as well.
func (a *arena) check(ctx context.Context, r *running, x workload.Exchange) (int, error) {
	if err := a.backend.call(ctx, contender.LastArm, new(raw.Frame)); err != nil {
		return 0, fmt.Errorf("have the backend keep a request: %w", err)
	}
	answer, err := r.ask(ctx, x)
	if err != nil {
		return 0, err
	}
	if r.grpc {
		err = same(answer, x.Response)
	} else {
		err = SameMeaning(answer, x.JSON)
	}
	if err != nil {
		return 0, fmt.Errorf("the answer is not what it should be: %w", err)
	}
	var last raw.Frame
	if err := a.backend.call(ctx, contender.LastGet, &last); err != nil {
		return 0, fmt.Errorf("have the backend show a request: %w", err)
	}
	defer last.Free()
	if err := same(last.Bytes(), x.Request); err != nil {
		return 0, fmt.Errorf("the backend received another request than was meant: %w", err)
	}
	return len(answer), nil
}

// same compares the bytes of a message with the message that is wanted.
func same(wire []byte, want proto.Message) error {
	got := want.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(wire, got); err != nil {
		return fmt.Errorf("not a %s: %w", got.ProtoReflect().Descriptor().FullName(), err)
	}
	if !proto.Equal(got, want) {
		return fmt.Errorf("it is %.300v", got)
	}
	return nil
}

// checkPolicies has a contender turn away a request without a token: policies
// that are not in force cost nothing.
func (r *running) checkPolicies(ctx context.Context, x workload.Exchange) error {
	x.HTTP.Token = ""
	status, got, err := send(ctx, r.addr, x)
	if err == nil && status != http.StatusUnauthorized {
		err = fmt.Errorf("a request without a token is answered with %d, want %d: %.300s", status, http.StatusUnauthorized, got)
	}
	return err
}

// SameMeaning compares two JSON texts. The error says where they differ first.
func SameMeaning(got, want []byte) error {
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		return fmt.Errorf("what is wanted is not JSON: %w", err)
	}
	return differ("$", g, w)
}

func differ(path string, got, want any) error {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			return differMembers(path, g, w)
		}
	case []any:
		if g, ok := got.([]any); ok && len(g) == len(w) {
			return differElements(path, g, w)
		}
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s is %.200s, want %.200s", path, text(got), text(want))
	}
	return nil
}

func differElements(path string, got, want []any) error {
	for i := range want {
		if err := differ(fmt.Sprintf("%s[%d]", path, i), got[i], want[i]); err != nil {
			return err
		}
	}
	return nil
}

func differMembers(path string, got, want map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[name]
		if !ok {
			return fmt.Errorf("%s.%s is missing, want %.200s", path, name, text(want[name]))
		}
		if err := differ(path+"."+name, g, want[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			return fmt.Errorf("%s.%s is there, as %.200s, but should not", path, name, text(got[name]))
		}
	}
	return nil
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
