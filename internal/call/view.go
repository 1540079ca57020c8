package call

// View shows the messages of one HTTP binding to HTTP clients. It is compiled
// when the table is built and safe for concurrent use.
type View interface {
	// AppendRequest appends the request message's wire bytes to dst. Its
	// errors are the client's mistakes, ready to be sent to it, or that of
	// in.Until.
	AppendRequest(dst []byte, in *Input) ([]byte, error)
	// AppendResponse appends what an HTTP client gets for the response message
	// in wire to dst. An empty contentType means JSON; raw reports that the
	// bytes are a document of their own (google.api.HttpBody), which in a
	// stream take no delimiter. It fails with the error of until, which may be
	// nil, soon after there is one.
	AppendResponse(dst, wire []byte, until Lifetime) (out []byte, contentType string, raw bool, err error)
	// RawBody reports whether the body is bytes that nobody parses
	// (google.api.HttpBody), RawAnswer whether the answer is.
	RawBody() bool
	RawAnswer() bool
}

// Lifetime tells those who work for a call whether it is over: Err is nil until then,
// and says why afterwards. It is asked often. A [context.Context] is one.
type Lifetime interface{ Err() error }

// Input is what an HTTP request says about one request message.
type Input struct {
	// Vars are the decoded path variables in the template's order.
	Vars []string
	// RawQuery is the query string, still encoded, without "?".
	RawQuery string
	// Body is the whole body; it is not kept after the call.
	Body []byte
	// HasBody tells an absent body from an empty one.
	HasBody bool
	// ContentType is the body's media type as sent, "" if none was.
	ContentType string
	// Continues tells that Body is a further piece of a raw body, of which an
	// earlier message had the beginning, with all that the rest of the request says.
	Continues bool
	// Until ends the work on this input: the view fails with its error soon after
	// there is one. Nil means never.
	Until Lifetime
}
