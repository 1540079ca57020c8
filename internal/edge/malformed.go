package edge

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// grpcOverHTTP stands before the grpc.Server of the HTTP listener. What
// grpc-go answers there with a bare HTTP status, and with its parser's words,
// is refused here as gRPC wants it.
type grpcOverHTTP struct {
	*Settings
	inner http.Handler
}

func (e *grpcOverHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor >= 2 && r.Method == http.MethodPost { // else it is not gRPC, which is for grpc-go to say
		if err := malformed(r); err != nil {
			e.refuse(w, r, err)
			return
		}
	}
	e.serveGRPC(e.inner, w, r)
}

// malformed finds a path that names no RPC the way gRPC does, headers that gRPC
// cannot read, and a compression that nobody here knows. grpc-go takes the path as
// net/http decoded it, in which a name would have any number of spellings. Where
// binary headers have several values in a line, malformed parts them, which grpc-go
// does not.
func malformed(r *http.Request) error {
	if !isPlainPath(r.URL) {
		return call.Unknown(r.RequestURI)
	}
	h := r.Header
	if v := first(h["Grpc-Timeout"]); v != "" {
		if _, ok := parseGRPCTimeout(v); !ok {
			return badTimeout("grpc-timeout", v, timeoutHeaders[0].want)
		}
	}
	if name := first(h["Grpc-Encoding"]); name != "" && name != encoding.Identity && encoding.GetCompressor(name) == nil {
		return call.Refuse(call.Client, codes.Unimplemented, "compression %q of messages is not supported: use %s, or none", name, gzip.Name)
	}
	for name, values := range h {
		if !strings.HasSuffix(name, "-Bin") {
			continue
		}
		if _, unfit := binaryValues(values); unfit != fits {
			return call.Refuse(call.Client, codes.InvalidArgument, "header %q must be base64", strings.ToLower(name))
		}
		h[name] = splitBinary(values)
	}
	return nil
}

// refuse answers with trailers only (gRPC over HTTP/2, "Responses"). They name the
// compressions that would do, which gRPC wants beside UNIMPLEMENTED for another
// (its compression.md).
func (e *grpcOverHTTP) refuse(w http.ResponseWriter, r *http.Request, err error) {
	c := new(call.Call)
	ctx := e.beginHTTP(c, call.GRPC, new(lineage), r)
	table := Enter(e.Table)
	defer table.Leave()
	defer func() { c.Finish(err) }()
	err = table.Refuse(ctx, err)
	st := call.StatusOf(err)
	h := w.Header()
	h["Content-Type"] = []string{"application/grpc"}
	h["Grpc-Status"] = []string{strconv.Itoa(int(st.Code()))}
	h["Grpc-Message"] = []string{percentEncoded(st.Message())}
	h["Grpc-Accept-Encoding"] = []string{gzip.Name}
	h["X-Request-Id"] = []string{c.RequestID}
	w.WriteHeader(http.StatusOK)
}

// percentEncoded is a text as grpc-message has it.
func percentEncoded(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
