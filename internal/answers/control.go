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
	// MaxAge is how long an answer is fresh: what s-maxage says, for the gateway
	// is a shared cache, else max-age. It is negative if neither is there.
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
