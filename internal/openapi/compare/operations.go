package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// operation compares an operation with the one that takes its place; nil: there is none.
func (c *comparer) operation(old, next *operation) {
	r := new(result)
	if next == nil {
		what := "the operation is gone"
		if others := c.next.of(old.RPC); len(others) > 0 {
			what += "; its RPC has " + strings.Join(others, ", ")
		}
		gone := Change{Severity: Breaking, Rule: "OPERATION_NO_DELETE", Operations: []string{old.label}, What: what, Why: "requests to it are answered with 404 or 405"}
		c.keep("gone "+old.label, &gone)
		return
	}
	d := &differ{comparer: c, result: r}
	if old.ID != next.ID {
		r.add(Risky, "OPERATION_SAME_ID", "operationId", old.ID, next.ID, "generated clients call it otherwise")
	}
	if old.Stream != next.Stream {
		r.add(Breaking, "OPERATION_SAME_STREAMS", "stream", old.Stream, next.Stream, "one message and a stream of messages have different media types and forms")
	}
	d.parameters(old.Parameters, next.Parameters)
	d.body(old.Body, next.Body)
	answers := &differ{comparer: c, result: r, answer: true}
	for _, status := range slices.Sorted(maps.Keys(old.Responses)) {
		answers.response(status, c.old.response(old.Responses[status]), c.next.response(next.Responses[status]))
	}
	d.promises(old, next)
	c.note(old.label, r)
}

// of lists the operations of an RPC.
func (d *Published) of(rpc string) []string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(d.operations)) {
		if o := d.operations[key]; o.RPC == rpc && rpc != "" {
			list = append(list, strings.TrimSuffix(o.label, " "+rpc))
		}
	}
	return list
}

// response follows a reference.
func (d *Published) response(r *response) *response {
	if r != nil && r.Ref != "" {
		return d.Components.Responses[strings.TrimPrefix(r.Ref, "#/components/responses/")]
	}
	return r
}

// parameters compares the parameters of paths, queries and headers. Path parameters are
// compared by position, because clients do not send their names.
func (d *differ) parameters(old, next []*parameter) {
	after := byPlace(next)
	before := byPlace(old)
	for _, place := range slices.Sorted(maps.Keys(before)) {
		was, is := before[place], after[place]
		what := was.In + " parameter " + was.Name
		switch {
		case is == nil && was.In == "header":
			d.add(Risky, "PARAMETER_NO_DELETE", what, describe(was), "", "clients that send it rely on what it did")
		case is == nil:
			d.add(Breaking, "PARAMETER_NO_DELETE", what, describe(was), "", "requests with it are refused")
		default:
			d.parameter(was, is, what)
		}
	}
	for _, place := range slices.Sorted(maps.Keys(after)) {
		if is := after[place]; before[place] == nil && is.Required {
			d.add(Breaking, "PARAMETER_NO_NEW_REQUIRED", is.In+" parameter "+is.Name, "", describe(is), "requests without it are refused")
		}
	}
}

func (d *differ) parameter(was, is *parameter, what string) {
	if is.Required && !was.Required {
		d.add(Breaking, "PARAMETER_NO_NEW_REQUIRED", what, describe(was), describe(is), "requests without it are refused")
	}
	if was.Style != is.Style || len(was.Content) != len(is.Content) {
		d.add(Breaking, "PARAMETER_SAME_STYLE", what, describe(was), describe(is), "its values are written otherwise")
		return
	}
	d.schema(was.Schema, is.Schema, what)
	for media, content := range was.Content {
		if other := is.Content[media]; other != nil {
			d.schema(content.Schema, other.Schema, what)
		}
	}
}

func byPlace(list []*parameter) map[string]*parameter {
	places, inPath := map[string]*parameter{}, 0
	for _, p := range list {
		name := p.Name
		switch p.In {
		case "path":
			inPath++
			name = fmt.Sprintf("%03d", inPath)
		case "header":
			name = strings.ToLower(name)
		}
		places[p.In+" "+name] = p
	}
	return places
}

func describe(p *parameter) string {
	text := "optional"
	if p.Required {
		text = "required"
	}
	if p.Style != "" {
		text += ", " + p.Style
	}
	if len(p.Content) > 0 {
		text += ", " + strings.Join(slices.Sorted(maps.Keys(p.Content)), ", ")
	}
	return text
}

// body compares bodies of requests.
func (d *differ) body(old, next *requestBody) {
	const what = "request body"
	required := func(b *requestBody) string {
		switch {
		case b == nil:
			return ""
		case b.Required:
			return "required"
		default:
			return "optional"
		}
	}
	switch {
	case old == nil && next == nil:
		return
	case old == nil:
		if next.Required {
			d.add(Breaking, "BODY_NO_NEW_REQUIRED", what, "", "required", "requests without one are refused")
		}
		return
	case next == nil:
		d.add(Breaking, "BODY_NO_DELETE", what, required(old), "", "what clients send in it is not read")
		return
	case next.Required && !old.Required:
		d.add(Breaking, "BODY_NO_NEW_REQUIRED", what, "optional", "required", "requests without one are refused")
	}
	d.content(old.Content, next.Content, what)
}

// content compares media types and what they hold.
func (d *differ) content(old, next map[string]*mediaType, what string) {
	for _, media := range slices.Sorted(maps.Keys(old)) {
		other := next[media]
		if other == nil {
			why := "requests with it are refused"
			if d.answer {
				why = "clients find another form than they read"
			}
			d.add(Breaking, "MEDIA_TYPE_NO_DELETE", what+" media type", strings.Join(slices.Sorted(maps.Keys(old)), ", "), strings.Join(slices.Sorted(maps.Keys(next)), ", "), why)
			return
		}
		d.schema(old[media].Schema, other.Schema, what)
	}
}

// response compares answers of a status. Errors that are not listed any more are no
// change, since others may come at any time.
func (d *differ) response(status string, old, next *response) {
	isError := status == "default" || !strings.HasPrefix(status, "2")
	switch {
	case old == nil:
		return
	case next == nil:
		if !isError {
			d.add(Breaking, "RESPONSE_NO_DELETE", "response "+status, status, "", "clients do not know the other answers")
		}
		return
	}
	what := "response " + status
	if isError {
		what = "error" // the same for each status
	}
	d.content(old.Content, next.Content, what)
	for _, name := range slices.Sorted(maps.Keys(old.Headers)) {
		if _, ok := next.Headers[name]; !ok {
			d.add(Risky, "RESPONSE_HEADER_NO_DELETE", what+" header", name, "", "clients that read it find nothing")
		}
	}
}

// sunset compares dates from which an operation may be gone.
func (d *differ) sunset(old, next string) {
	was, errOld := parseTime(old)
	is, errNext := parseTime(next)
	switch {
	case next == "" || old == next:
	case old == "":
		d.add(Risky, "SUNSET_NO_NEW", "sunset", "", next, "clients must have left by then")
	case errOld != nil || errNext != nil || is.Before(was):
		d.add(Breaking, "SUNSET_NO_EARLIER", "sunset", old, next, "clients that rely on the date are cut off before it")
	}
}

func parseTime(text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, text)
}
