package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/test/cluster/contract"
)

// restClient calls by JSON over HTTP/1.1.
type restClient struct {
	base string
	http *http.Client
}

func newRESTClient(address string) *restClient {
	return &restClient{base: "http://" + address, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
}

func (r *restClient) close() { r.http.CloseIdleConnections() }

// request is the call as its binding has it.
func (r *restClient) request(ctx context.Context, c call) (*http.Request, error) {
	root := r.base + "/" + c.backend + "/v1/"
	thing := root + "things/" + c.ask.Nonce
	query := url.Values{"payload": {c.ask.Payload}, "count": {strconv.Itoa(int(c.ask.Count))}}.Encode()
	var verb, to string
	switch c.rpc {
	case "Read":
		verb, to = "GET", thing+"?"+query
	case "Watch":
		verb, to = "GET", thing+":watch?"+query
	case "Put":
		verb, to = "PUT", thing
	default:
		verb, to = "POST", root+map[string]string{"Order": "orders", "Fire": "fires", "Limited": "limited"}[c.rpc]
	}
	var body io.Reader
	if verb != "GET" {
		data, err := json.Marshal(c.ask)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, verb, to, body)
	if err == nil && c.key != "" {
		req.Header.Set("Idempotency-Key", c.key)
	}
	return req, err
}

// line is an answer, or an error in the form of AIP-193.
type line struct {
	contract.Answer
	Error *struct {
		Status  string
		Message string
		Details []struct{ Reason string }
	}
}

func (l *line) failure() *failure {
	f := &failure{cause: errors.New(l.Error.Message)}
	if f.code.UnmarshalJSON([]byte(strconv.Quote(l.Error.Status))) != nil {
		f.code = codes.Unknown
	}
	for _, d := range l.Error.Details {
		if d.Reason != "" {
			f.reason = d.Reason
		}
	}
	return f
}

func (r *restClient) once(ctx context.Context, c call) (a contract.Answer, _ *failure) {
	n := 0
	f := r.watch(ctx, c, func(got contract.Answer) { a, n = got, n+1 })
	if f == nil && n != 1 {
		return a, &failure{code: codes.DataLoss, cause: fmt.Errorf("a body with %d answers", n)}
	}
	return a, f
}

func (r *restClient) watch(ctx context.Context, c call, next func(contract.Answer)) *failure {
	req, err := r.request(ctx, c)
	if err != nil {
		return &failure{cause: err}
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return &failure{code: codes.Unavailable, silent: true, cause: err}
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := json.NewDecoder(resp.Body); ; {
		var l line
		switch err := lines.Decode(&l); {
		case err == io.EOF:
			return nil
		case err != nil:
			return broken(err)
		case l.Error != nil:
			return l.failure()
		}
		next(l.Answer)
	}
}

// broken tells a body that is cut off from one that is wrong.
func broken(err error) *failure {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	if syntax || kind {
		return &failure{code: codes.DataLoss, cause: err}
	}
	return &failure{code: codes.Unavailable, silent: true, cause: err}
}
