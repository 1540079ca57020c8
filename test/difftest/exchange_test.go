package difftest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// request is one request as it goes over the wire.
type request struct {
	verb, target string
	header       []string // "Name: value"
	body         string
	trait        string // what is special about it, by which a difference may be explained
	chunked      bool
	// unsettled says that the services may or may not be asked: the request
	// fails after a stream to them was opened.
	unsettled bool
	id        int
}

func (r request) String() string {
	s := fmt.Sprintf("%s %s", r.verb, r.target)
	for _, h := range r.header {
		s += "\n  " + h
	}
	if r.body != "" {
		s += "\n  " + clip(r.body)
	}
	if r.trait != "" {
		s += "\n  (" + r.trait + ")"
	}
	return s
}

func clip(s string) string {
	if len(s) > 300 {
		return fmt.Sprintf("%s... (%d bytes)", s[:300], len(s))
	}
	return s
}

// bytes writes the request out, unchecked: net/http's client would mend it.
func (r request) bytes(host string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", r.verb, r.target, host)
	fmt.Fprintf(&b, "%s: %d\r\n", requestKey, r.id)
	for _, h := range r.header {
		fmt.Fprintf(&b, "%s\r\n", h)
	}
	switch {
	case r.chunked:
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(r.body), r.body)
	case r.body != "" || r.verb != http.MethodGet && r.verb != http.MethodHead:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(r.body), r.body)
	default:
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// answer is what came back, reduced to what is compared.
type answer struct {
	status   int
	code     codes.Code // of gRPC, read from the body of an error
	fault    string     // message and details of an error
	meaning  string     // of an answer: JSON in one spelling, or the bytes
	media    string     // "json", "ndjson", another media type, or "" for no content
	shape    string     // of an error, or of a stream
	metadata string     // the header that has the service's metadata
	asked    []asked    // what the service got
	raw      string
}

func (a *answer) String() string {
	return fmt.Sprintf("%d %v %q %s\n  body: %s\n  asked: %v", a.status, a.code, a.media, a.shape, clip(a.raw), a.asked)
}

// send makes one exchange over a connection of its own.
func (f *facade) send(ctx context.Context, r request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(r.bytes(f.address))
		sent <- err
	}()
	defer func() { <-sent }() // a server may answer, and hang up, before it has read all
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: r.verb})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	list := f.store.takeAsked()
	if r.unsettled {
		list = nil
	}
	return read(response, body, list), nil
}

// read takes an answer apart.
func read(response *http.Response, body []byte, list []asked) *answer {
	a := &answer{status: response.StatusCode, asked: list, raw: string(body), media: mediaOf(response, body)}
	for _, name := range []string{"X-Shop", "Grpc-Metadata-X-Shop"} {
		if response.Header.Get(name) != "" {
			a.metadata = name
		}
	}
	switch {
	case a.media != "json" && a.media != "ndjson":
		a.meaning = a.raw
	case a.status >= http.StatusBadRequest:
		a.readError(body)
	default:
		a.readMessages(body)
	}
	return a
}

func mediaOf(response *http.Response, body []byte) string {
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case len(body) == 0:
		return ""
	case err != nil:
		return "none"
	case media == "application/json":
		return "json"
	case media == "application/x-ndjson":
		return "ndjson"
	}
	return response.Header.Get("Content-Type")
}

// fault is an error body in either of its shapes.
type fault struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Status  string `json:"status"`
	Details []any  `json:"details"`
}

// readError reads google.rpc.Status, or AIP-193's frame around it.
func (a *answer) readError(body []byte) {
	var framed struct {
		Error *fault `json:"error"`
	}
	var f fault
	if json.Unmarshal(body, &framed) == nil && framed.Error != nil {
		f, a.shape = *framed.Error, "aip193"
	} else if err := json.Unmarshal(body, &f); err != nil {
		a.shape = "not an error: " + err.Error()
	} else {
		a.shape = "status"
	}
	a.setFault(f)
}

func (a *answer) setFault(f fault) {
	a.code = codes.Code(f.Code)
	if f.Status != "" { // the code is HTTP's
		a.code = codes.Code(slices.IndexFunc(allCodes(), func(c codes.Code) bool { return call.CodeName(c) == f.Status }))
	}
	if a.code == codes.DeadlineExceeded {
		return // it passes everywhere at once, and whoever is first speaks
	}
	details, _ := json.Marshal(f.Details)
	if len(f.Details) == 0 {
		details = nil
	}
	a.fault = f.Message + string(details)
}

func allCodes() []codes.Code {
	list := make([]codes.Code, codes.Unauthenticated+1)
	for i := range list {
		list[i] = codes.Code(i)
	}
	return list
}

// readMessages reads one JSON value, or those of a stream.
func (a *answer) readMessages(body []byte) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var all []string
	for {
		var v any
		if err := d.Decode(&v); err == io.EOF {
			break
		} else if err != nil {
			all = append(all, "not JSON: "+err.Error())
			break
		}
		all = append(all, a.unwrapped(v))
	}
	a.meaning = strings.Join(all, "\n")
}

// unwrapped takes a message of a stream out of its frame.
func (a *answer) unwrapped(v any) string {
	m, _ := v.(map[string]any)
	if result, ok := m["result"]; ok && len(m) == 1 {
		a.shape, v = "wrapped", result
	}
	if e, ok := m["error"]; ok && len(m) == 1 {
		var f fault
		inner, _ := json.Marshal(e)
		_ = json.Unmarshal(inner, &f)
		a.setFault(f)
		v = "ends with an error"
	}
	s, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(s)
}

// String shows the message, which else would be an address.
func (a asked) String() string {
	return fmt.Sprintf("%s{%s}", a.method, clip(fmt.Sprint(a.message)))
}

// sameAsked compares what two services were asked.
func sameAsked(a, b []asked) bool {
	return slices.EqualFunc(a, b, func(a, b asked) bool { return a.method == b.method && proto.Equal(a.message, b.message) })
}

// sortMask brings the paths of an update mask, whose order means nothing, into
// one.
func sortMask(m proto.Message) {
	if u, ok := m.(interface{ GetUpdateMask() *fieldmaskpb.FieldMask }); ok {
		slices.Sort(u.GetUpdateMask().GetPaths())
	}
}
