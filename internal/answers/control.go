package answers

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"
)

// Control is what a Cache-Control header says (RFC 9111, section 5.2), as far as
// the gateway goes by it. Directives that it does not know, it ignores.
type Control struct {
	NoCache, NoStore, Private bool
	// OnlyIfCached, of a request, says that the upstream is not to be asked.
	OnlyIfCached bool
	// MinFresh, of a request, is how much longer an answer must stay fresh.
	MinFresh time.Duration
	// MaxAge is how long an answer is fresh: what s-maxage says, for the gateway
	// is a shared cache, else max-age; of a request, how old an answer may be. It
	// is negative if neither is there.
	MaxAge time.Duration
}

// ControlOf reads the headers under cache-control in md.
func ControlOf(md metadata.MD) Control { return ParseControl(md["cache-control"]) }

// ParseControl reads the values of a Cache-Control header. A directive with an
// argument that makes no sense counts as the stricter of what it could mean.
func ParseControl(values []string) Control {
	var c Control
	private, shared := never, never
	for _, v := range values {
		for directive := range strings.SplitSeq(v, ",") {
			name, arg, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "no-cache":
				c.NoCache = true
			case "no-store":
				c.NoStore = true
			case "private":
				c.Private = true
			case "only-if-cached":
				c.OnlyIfCached = true
			case "min-fresh":
				c.MinFresh = max(c.MinFresh, seconds(arg))
			case "max-age":
				private = min(private, seconds(arg))
			case "s-maxage":
				shared = min(shared, seconds(arg))
			}
		}
	}
	c.MaxAge = private
	if shared != never {
		c.MaxAge = shared
	}
	if c.MaxAge == never {
		c.MaxAge = -1
	}
	return c
}

// never is an age that was not said.
const never = time.Duration(math.MaxInt64)

// seconds reads delta-seconds; what is not a number is stale (RFC 9111, section
// 4.2.1), and what is too large is a long time (section 1.2.2).
func seconds(arg string) time.Duration {
	arg = strings.Trim(strings.TrimSpace(arg), `"`)
	n, err := strconv.ParseUint(arg, 10, 31)
	switch {
	case err == nil:
		return time.Duration(n) * time.Second
	case errors.Is(err, strconv.ErrRange):
		return math.MaxInt32 * time.Second
	default:
		return 0
	}
}

// Takes reports whether a request with these directives may be answered with a.
func (c Control) Takes(a *Answer) bool {
	age := a.Age()
	return !c.NoCache && (c.MaxAge < 0 || age <= c.MaxAge && c.MaxAge > 0) && a.ttl-age >= c.MinFresh
}

// Freshness is how much longer an answer with such a header is fresh: for as long
// as max-age or s-maxage says, else until Expires, less the age that it came with
// (RFC 9111, sections 4.2 and 5.3). It is zero or less for an answer that is stale,
// and said is false if the header does not tell.
func Freshness(header metadata.MD, now time.Time) (_ time.Duration, said bool) {
	fresh := ControlOf(header).MaxAge
	if fresh < 0 {
		if len(header["expires"]) == 0 {
			return 0, false
		}
		if date, err := parseDate(strings.Join(header["date"], "")); err == nil {
			now = date
		}
		fresh = never
		for _, v := range header["expires"] {
			at, err := parseDate(v)
			if err != nil {
				return 0, true // as "0" is: it has expired
			}
			fresh = min(fresh, at.Sub(now))
		}
	}
	for _, v := range header["age"] {
		fresh -= seconds(v)
	}
	return fresh, true
}

// PrivateControl is a Cache-Control header with what values say, but for the one
// client only: shared caches may not keep the answer.
func PrivateControl(values []string) string {
	list := []string{"private"}
	for _, v := range values {
		for directive := range strings.SplitSeq(v, ",") {
			directive = strings.TrimSpace(directive)
			name, _, _ := strings.Cut(directive, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "", "public", "private", "s-maxage":
			default:
				list = append(list, directive)
			}
		}
	}
	return strings.Join(list, ", ")
}

// dateLayouts are the three forms of a date that recipients must take (RFC 9110,
// section 5.6.7).
var dateLayouts = [...]string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC}

func parseDate(text string) (at time.Time, err error) {
	for _, layout := range dateLayouts {
		if at, err = time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return at, err
}
