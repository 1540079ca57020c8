package rest_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

func movement(n int64) *inventoryv1.WatchStockResponse {
	return &inventoryv1.WatchStockResponse{Name: "s", Movement: &inventoryv1.Movement{OnHand: n}}
}

func TestServerStream(t *testing.T) {
	t.Parallel()
	const first, second = `{"name":"s","movement":{"onHand":"1"}}` + "\n", `{"name":"s","movement":{"onHand":"2"}}` + "\n"
	for _, tc := range []struct {
		name   string
		send   int64
		err    error
		change gatewaytest.Change
		status int
		typ    string
		want   string
	}{
		{name: "messages", send: 2, status: 200, typ: "application/x-ndjson", want: first + second},
		{name: "nothing", status: 200, typ: "application/x-ndjson"},
		{name: "error at once", err: status.Error(codes.NotFound, "no such stock"), status: 404, typ: "application/json",
			want: `{"error":{"code":404,"message":"no such stock","status":"NOT_FOUND"}}`},
		{name: "error as the last line", send: 1, err: status.Error(codes.ResourceExhausted, "enough"), status: 200, typ: "application/x-ndjson",
			want: first + `{"error":{"code":429,"message":"enough","status":"RESOURCE_EXHAUSTED"}}` + "\n"},
		{name: "error as the last line, status", send: 1, err: status.Error(codes.ResourceExhausted, "enough"), change: edgetest.WithErrors(configv1.Errors_FORMAT_STATUS),
			status: 200, typ: "application/x-ndjson", want: first + `{"error":{"code":8,"message":"enough","details":[]}}` + "\n"},
		{name: "profile grpc-gateway", send: 1, err: status.Error(codes.ResourceExhausted, "enough"), change: func(c *configv1.Config) {
			c.Json = &configv1.Json{Profile: configv1.Json_PROFILE_GRPC_GATEWAY}
		}, status: 200, typ: "application/json", want: `{"result":{"name":"s","movement":{"onHand":"1","delta":"0","reason":"REASON_UNSPECIFIED","time":null}}}` + "\n" +
			`{"error":{"code":8,"message":"enough","details":[]}}` + "\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			backend := edgetest.Watching(t, func(_ context.Context, send edgetest.SendStock) error {
				for i := range tc.send {
					if err := send(movement(i + 1)); err != nil {
						return err
					}
				}
				return tc.err
			})
			var changes []gatewaytest.Change
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			g := gatewaytest.Start(t, gatewaytest.Config(backend, changes...))
			edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
				got := gatewaytest.Do(t, client, g.Request(t, "GET", edgetest.WatchPath, ""))
				if got.StatusCode != tc.status || got.Header.Get("Content-Type") != tc.typ || got.Text != tc.want {
					t.Errorf("got %d %s %q\nwant %d %s %q", got.StatusCode, got.Header.Get("Content-Type"), got.Text, tc.status, tc.typ, tc.want)
				}
			})
		})
	}
}

// TestStreamFlushes reads each message before the backend sends the next, then
// goes away: the backend is told.
func TestStreamFlushes(t *testing.T) {
	t.Parallel()
	next, ended := make(chan struct{}), make(chan error, 1)
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Watching(t, func(ctx context.Context, send edgetest.SendStock) error {
		for i := int64(1); ; i++ {
			if err := send(movement(i)); err != nil {
				ended <- err
				return err
			}
			select {
			case <-next:
			case <-ctx.Done():
				ended <- ctx.Err()
				return ctx.Err()
			}
		}
	})))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resp, err := client.Do(g.Request(t, "GET", edgetest.WatchPath, "").WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for i := range 10 {
			if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "onHand") {
				t.Fatalf("line %d: %q, %v", i, line, err)
			}
			if i < 9 {
				next <- struct{}{}
			}
		}
		cancel()
		if err := gatewaytest.Receive(t, ended, "the end at the backend"); err != context.Canceled {
			t.Errorf("the backend ended with %v", err)
		}
	})
	gatewaytest.Eventually(t, "both calls in the log", func() bool { return strings.Count(g.Log.String(), "status=CANCELLED") == 2 })
}

// TestUnaryCancel: the client goes away before there is an answer.
func TestUnaryCancel(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan error, 1)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		edgetest.GetProduct: func(_ any, ss grpc.ServerStream) error {
			began <- struct{}{}
			<-ss.Context().Done()
			ended <- ss.Context().Err()
			return ss.Context().Err()
		},
	})))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		r := g.Request(t, "GET", "/v1/products/boots", "").WithContext(ctx)
		go func() {
			resp, err := client.Do(r)
			if err == nil {
				_ = resp.Body.Close()
			}
			result <- err
		}()
		gatewaytest.Receive(t, began, "the call")
		cancel()
		if err := gatewaytest.Receive(t, ended, "the end at the backend"); err != context.Canceled {
			t.Errorf("the backend ended with %v", err)
		}
		if err := gatewaytest.Receive(t, result, "the client's result"); !errors.Is(err, context.Canceled) {
			t.Errorf("the client got %v", err)
		}
	})
	gatewaytest.Eventually(t, "both calls in the log", func() bool { return strings.Count(g.Log.String(), "http_status=499") == 2 })
}

func TestClientStream(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds)))
	for _, tc := range []struct {
		name, body string
		status     int
		want       string
	}{
		{name: "a line each", body: `{"name":"a","counted":"1"}` + "\n" + `{"counted":2}` + "\n", status: 200, want: `{"imported":2,"difference":"3"}`},
		{name: "no newline at the end", body: `{"counted":1}` + "\r\n\n" + `{"counted":2}`, status: 200, want: `{"imported":2,"difference":"3"}`},
		{name: "one after the other", body: `{"counted":1}{"counted":2} {"counted":
			3}`, status: 200, want: `{"imported":3,"difference":"6"}`},
		{name: "braces in strings", body: `{"name":"}{\"\\"}` + "\n" + `{"name":"\n{"}`, status: 200, want: `{"imported":2}`},
		{name: "nothing", body: "", status: 200, want: `{}`},
		{name: "blank lines", body: "\n \n", status: 200, want: `{}`},
		{name: "a bad line", body: `{"counted":1}` + "\n" + `{"counted":"many"}` + "\n", status: 400, want: "counted: "},
		{name: "an unfinished line", body: `{"counted":1}` + "\n" + `{"counted":`, status: 400, want: "invalid JSON"},
		{name: "no JSON at all", body: "}", status: 400, want: "invalid JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
				got := gatewaytest.Do(t, client, g.Request(t, "POST", "/v1/stock:importCounts", tc.body, "Content-Type: application/x-ndjson"))
				if got.StatusCode != tc.status || !strings.Contains(got.Text, tc.want) {
					t.Errorf("got %d %q, want %d %q", got.StatusCode, got.Text, tc.status, tc.want)
				}
			})
		})
	}
}

// moderate binds the bidirectional RPC, which has no binding of its own.
func moderate(c *configv1.Config) {
	c.Expose[0].Http = []*annotations.HttpRule{{
		Selector: "shop.reviews.v1.ReviewsService.ModerateReviews",
		Pattern:  &annotations.HttpRule_Post{Post: "/v1/reviews:moderate"}, Body: "*",
	}}
}

// TestBidiStream talks in turns, which needs both directions at once.
func TestBidiStream(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds), moderate))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		body, up := io.Pipe()
		r := g.Request(t, "POST", "/v1/reviews:moderate", "", "Content-Type: application/x-ndjson")
		r.Body = body
		go func() { _, _ = io.WriteString(up, `{"draftId":"1"}`+"\n") }()
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for i := range 10 {
			if line, err := lines.ReadString('\n'); err != nil || line != `{"draftId":"1"}`+"\n" {
				t.Fatalf("line %d: %q, %v", i, line, err)
			}
			_, _ = io.WriteString(up, `{"draftId":"1"}`+"\n")
		}
		_ = up.Close()
		if rest, err := io.ReadAll(lines); err != nil || len(rest) != len(`{"draftId":"1"}`)+1 {
			t.Errorf("the rest is %q, %v", rest, err)
		}
	})
}

// TestBidiMistake: a bad line in the middle ends the call and is told as the
// last line.
func TestBidiMistake(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds), moderate))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		body, up := io.Pipe()
		r := g.Request(t, "POST", "/v1/reviews:moderate", "")
		r.Body = body
		go func() { _, _ = io.WriteString(up, `{"draftId":"1"}`+"\n") }()
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(up, `{"draftId":true}`+"\n")
		line, err := lines.ReadString('\n')
		if err != nil || !strings.Contains(line, `{"error":{"code":400,"message":"draftId: `) {
			t.Errorf("the last line is %q, %v", line, err)
		}
		_ = up.Close()
	})
}

// TestSlowUploadEnds: the backend answers before the client has sent all, and
// the call is over.
func TestAnswerBeforeTheUploadEnds(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		edgetest.ImportCounts: func(any, grpc.ServerStream) error { return status.Error(codes.PermissionDenied, "not you") },
	})))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		body, up := io.Pipe()
		defer up.Close()
		r := g.Request(t, "POST", "/v1/stock:importCounts", "")
		r.Body = body
		go func() { _, _ = io.WriteString(up, `{"counted":1}`+"\n") }()
		if got := gatewaytest.Do(t, client, r); got.StatusCode != 403 || !strings.Contains(got.Text, "not you") {
			t.Errorf("got %d %s", got.StatusCode, got.Text)
		}
	})
}

// TestLargeAnswer is read slowly: nothing is lost.
func TestLargeAnswer(t *testing.T) {
	t.Parallel()
	want := strings.Repeat("é😀\n", 1<<18)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		edgetest.GetProduct: gatewaytest.Unary(func(context.Context, *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
			return &catalogv1.Product{Description: want}, nil
		}),
	})))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		got := gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/products/boots", ""))
		if len(got.Text) != len(`{"description":""}`)+len(want)+1<<18 || got.ContentLength != int64(len(got.Text)) {
			t.Errorf("got %d bytes, announced %d", len(got.Text), got.ContentLength)
		}
	})
}
