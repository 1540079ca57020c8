package aggregate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/answers"
)

// keeping is what the backends of the steps say of how their answers may be kept: a
// whole may be kept as its most particular part may.
func (r *run) keeping() metadata.MD {
	var vary []string
	var control answers.Control
	fresh, bounded := time.Duration(0), false
	for _, a := range r.answers {
		if a.err != nil || len(a.said) == 0 {
			continue
		}
		vary = append(vary, a.said["vary"]...)
		said := answers.ControlOf(a.said)
		control.NoStore = control.NoStore || said.NoStore
		control.NoCache = control.NoCache || said.NoCache
		control.Private = control.Private || said.Private || len(a.said["set-cookie"]) > 0
		if left, ok := answers.Freshness(a.said, time.Now()); ok && (!bounded || left < fresh) {
			fresh, bounded = left, true
		}
	}
	var directives []string
	for _, d := range []struct {
		said bool
		text string
	}{{control.NoStore, "no-store"}, {control.NoCache, "no-cache"}, {control.Private, "private"},
		{bounded, "max-age=" + strconv.Itoa(int(max(fresh, 0).Seconds()))}} {
		if d.said {
			directives = append(directives, d.text)
		}
	}
	md := metadata.MD{}
	if len(vary) > 0 {
		slices.Sort(vary)
		md["vary"] = slices.Compact(vary)
	}
	if len(directives) > 0 {
		md["cache-control"] = []string{strings.Join(directives, ", ")}
	}
	return md
}

// tellKeeping has whoever keeps the whole, the client included, go by keeping.
func (r *run) tellKeeping(opts []grpc.CallOption) {
	md := r.keeping()
	if len(md) == 0 {
		return
	}
	for _, o := range opts {
		if h, ok := o.(grpc.HeaderCallOption); ok {
			*h.HeaderAddr = metadata.Join(*h.HeaderAddr, md)
		}
	}
}
