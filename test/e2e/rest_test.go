package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// request is one step of a conversation with etcd over HTTP.
type request struct {
	name   string
	path   string
	body   string
	status int
	want   string // the answer's JSON but for what is volatile; "" leaves it to etcd's own gateway
	varies string // the member that depends on when the request comes
	lines  int    // of an answer that is a stream: how many to read
}

// conversation is sent to two etcds, one step after the other. Strings are
// base64: Zm9v is foo, YmFy is bar, YmF6 is baz.
var conversation = []request{
	{name: "put", path: "/v3/kv/put", body: `{"key":"Zm9v","value":"YmFy"}`, status: 200, want: `{"header":{"revision":"2"}}`},
	{name: "put again, with the old value", path: "/v3/kv/put", body: `{"key":"Zm9v","value":"YmF6","prev_kv":true}`, status: 200,
		want: `{"header":{"revision":"3"},"prev_kv":{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}}`},
	{name: "put without a value", path: "/v3/kv/put", body: `{"key":"Zm9vMg=="}`, status: 200, want: `{"header":{"revision":"4"}}`},
	{name: "put in the URL alphabet", path: "/v3/kv/put", body: `{"key":"_w","value":"-_8"}`, status: 200, want: `{"header":{"revision":"5"}}`},
	{name: "range of one", path: "/v3/kv/range", body: `{"key":"Zm9v"}`, status: 200,
		want: `{"header":{"revision":"5"},"kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"3","version":"2","value":"YmF6"}],"count":"1"}`},
	{name: "range of none", path: "/v3/kv/range", body: `{"key":"bm9uZQ=="}`, status: 200, want: `{"header":{"revision":"5"}}`},
	{name: "range of all, sorted", path: "/v3/kv/range", body: `{"key":"AA==","range_end":"AA==","sort_order":"DESCEND","sort_target":"KEY","limit":"2"}`, status: 200},
	{name: "the same, in lowerCamel and by number", path: "/v3/kv/range", body: `{"key":"AA==","rangeEnd":"AA==","sortOrder":2,"sortTarget":0,"limit":2}`, status: 200},
	{name: "range at a revision", path: "/v3/kv/range", body: `{"key":"Zm9v","revision":2}`, status: 200,
		want: `{"header":{"revision":"5"},"kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}],"count":"1"}`},
	{name: "count only", path: "/v3/kv/range", body: `{"key":"AA==","range_end":"AA==","count_only":true}`, status: 200, want: `{"header":{"revision":"5"},"count":"3"}`},
	{name: "keys only", path: "/v3/kv/range", body: `{"key":"AA==","range_end":"AA==","keys_only":true,"serializable":true}`, status: 200},
	{name: "null is unset", path: "/v3/kv/range", body: `{"key":"Zm9v","revision":null,"limit":null}`, status: 200},
	{name: "unknown fields are ignored", path: "/v3/kv/range", body: `{"key":"Zm9v","flavour":{"sweet":[1,2]}}`, status: 200},
	{name: "unknown enum values too", path: "/v3/kv/range", body: `{"key":"Zm9v","sort_order":"SIDEWAYS"}`, status: 200},
	{name: "and a query beside the body", path: "/v3/kv/range?limit=1&colour=red", body: `{"key":"AA==","range_end":"AA=="}`, status: 200},
	{name: "transaction that holds", path: "/v3/kv/txn", status: 200,
		body: `{"compare":[{"target":"VALUE","result":"EQUAL","key":"Zm9v","value":"YmF6"}],
			"success":[{"request_put":{"key":"dHhu","value":"MQ=="}},{"requestRange":{"key":"Zm9v"}}],
			"failure":[{"request_delete_range":{"key":"Zm9v"}}]}`},
	{name: "transaction that does not", path: "/v3/kv/txn", status: 200,
		body: `{"compare":[{"target":"VERSION","key":"Zm9v","version":"7"}],
			"success":[{"request_put":{"key":"dHhu","value":"Mg=="}}],
			"failure":[{"request_range":{"key":"dHhu"}},{"request_txn":{"success":[{"request_range":{"key":"Zm9v"}}]}}]}`},
	{name: "empty transaction", path: "/v3/kv/txn", body: `{}`, status: 200, want: `{"header":{"revision":"6"},"succeeded":true}`},
	{name: "transaction with one key twice", path: "/v3/kv/txn", status: 400, want: `{"code":3,"message":"etcdserver: duplicate key given in txn request"}`,
		body: `{"success":[{"request_put":{"key":"Zm9v"}},{"request_put":{"key":"Zm9v"}}]}`},
	{name: "delete", path: "/v3/kv/deleterange", body: `{"key":"Zm9vMg==","prev_kv":true}`, status: 200,
		want: `{"header":{"revision":"7"},"deleted":"1","prev_kvs":[{"key":"Zm9vMg==","create_revision":"4","mod_revision":"4","version":"1"}]}`},
	{name: "delete what is not there", path: "/v3/kv/deleterange", body: `{"key":"bm9uZQ=="}`, status: 200, want: `{"header":{"revision":"7"}}`},

	{name: "lease grant", path: "/v3/lease/grant", body: `{"TTL":"600","ID":"7587821338341002662"}`, status: 200,
		want: `{"header":{"revision":"7"},"ID":"7587821338341002662","TTL":"600"}`},
	{name: "lease grant of a known id", path: "/v3/lease/grant", body: `{"TTL":600,"ID":7587821338341002662}`, status: 400,
		want: `{"code":9,"message":"etcdserver: lease already exists"}`},
	{name: "put under the lease", path: "/v3/kv/put", body: `{"key":"bGVhc2U=","lease":"7587821338341002662"}`, status: 200, want: `{"header":{"revision":"8"}}`},
	{name: "time to live, by its other path", path: "/v3/kv/lease/timetolive", body: `{"ID":"7587821338341002662","keys":true}`, status: 200, varies: "TTL"},
	{name: "leases", path: "/v3/lease/leases", body: `{}`, status: 200, want: `{"header":{"revision":"8"},"leases":[{"ID":"7587821338341002662"}]}`},
	{name: "lease revoke", path: "/v3/lease/revoke", body: `{"ID":"7587821338341002662"}`, status: 200, want: `{"header":{"revision":"9"}}`},
	{name: "lease revoke again, by its other path", path: "/v3/kv/lease/revoke", body: `{"ID":"7587821338341002662"}`, status: 404,
		want: `{"code":5,"message":"etcdserver: requested lease not found"}`},
	{name: "the key went with the lease", path: "/v3/kv/range", body: `{"key":"bGVhc2U="}`, status: 200, want: `{"header":{"revision":"9"}}`},

	{name: "compaction", path: "/v3/kv/compaction", body: `{"revision":"5","physical":true}`, status: 200, want: `{"header":{"revision":"9"}}`},
	{name: "compaction again", path: "/v3/kv/compaction", body: `{"revision":5}`, status: 400,
		want: `{"code":11,"message":"etcdserver: mvcc: required revision has been compacted"}`},
	{name: "compaction of the future", path: "/v3/kv/compaction", body: `{"revision":"1e3"}`, status: 400,
		want: `{"code":11,"message":"etcdserver: mvcc: required revision is a future revision"}`},
	{name: "range at a compacted revision", path: "/v3/kv/range", body: `{"key":"Zm9v","revision":"2"}`, status: 400,
		want: `{"code":11,"message":"etcdserver: mvcc: required revision has been compacted"}`},
	{name: "range at a future revision", path: "/v3/kv/range", body: `{"key":"Zm9v","revision":"99"}`, status: 400,
		want: `{"code":11,"message":"etcdserver: mvcc: required revision is a future revision"}`},

	{name: "no key", path: "/v3/kv/range", body: `{}`, status: 400, want: `{"code":3,"message":"etcdserver: key is not provided"}`},
	{name: "no body", path: "/v3/kv/range", status: 400, want: `{"code":3,"message":"etcdserver: key is not provided"}`},
	{name: "put under no lease", path: "/v3/kv/put", body: `{"key":"Zm9v","lease":"1"}`, status: 404, want: `{"code":5,"message":"etcdserver: requested lease not found"}`},
	{name: "log in where nobody must", path: "/v3/auth/authenticate", body: `{"name":"root","password":"secret"}`, status: 400,
		want: `{"code":9,"message":"etcdserver: authentication is not enabled"}`},
	{name: "no such member", path: "/v3/cluster/member/remove", body: `{"ID":"18446744073709551615"}`, status: 404,
		want: `{"code":5,"message":"etcdserver: member not found"}`},
	{name: "auth status", path: "/v3/auth/status", body: `{}`, status: 200},
	{name: "alarms", path: "/v3/maintenance/alarm", body: `{"action":"GET"}`, status: 200},
	{name: "add a user", path: "/v3/auth/user/add", body: `{"name":"käthe","password":"päss"}`, status: 200, want: `{"header":{"revision":"9"}}`},
	{name: "users", path: "/v3/auth/user/list", body: `{}`, status: 200, want: `{"header":{"revision":"9"},"users":["käthe"]}`},
	{name: "watch from history", path: "/v3/watch", body: `{"create_request":{"key":"dHhu","start_revision":"6"}}`, status: 200, lines: 2},
	{name: "lease for keeping", path: "/v3/lease/grant", body: `{"TTL":"600","ID":"77"}`, status: 200},
	// No lock: etcd's own lock service never ends the keep-alive of its lease.
	{name: "unlock", path: "/v3/lock/unlock", body: `{"key":"bG9jay80ZA=="}`, status: 200},
	{name: "keep alive", path: "/v3/lease/keepalive", body: `{"ID":"77"}`, status: 200, lines: 1},
}

// TestREST sends the same requests to etcd behind Gatehouse, in the
// grpc-gateway profile, and to another etcd's own HTTP gateway, and wants the
// same answers: status and JSON meaning.
func TestREST(t *testing.T) {
	gateway := newTarget(t).http
	own := "http://" + startEtcd(t)
	client := newHTTPClient(t)
	for _, step := range conversation {
		t.Run(step.name, func(t *testing.T) {
			got := step.send(t, client, gateway)
			if oracle := step.send(t, client, own); got.status != oracle.status || !cmp.Equal(got.json, oracle.json) {
				t.Errorf("got %d %s\netcd's own gateway answers %d %s\n%s",
					got.status, got.body, oracle.status, oracle.body, cmp.Diff(oracle.json, got.json))
			}
			if got.status != step.status {
				t.Errorf("status %d, want %d: %s", got.status, step.status, got.body)
			}
			if step.want != "" {
				if diff := cmp.Diff(parse(t, []byte(step.want)), got.json); diff != "" {
					t.Errorf("got %s\n%s", got.body, diff)
				}
			}
		})
	}
}

// differences are the requests that the gateway itself refuses. It has words of
// its own for them, and sometimes a status of its own.
var differences = []struct {
	name, method, path, body string
	own, want                int    // HTTP status of etcd's own gateway, and of ours
	field                    string // which the message names
	reason                   string
}{
	{"broken JSON", "POST", "/v3/kv/put", `{"key":`, 400, 400, "", "parser text does not leak"},
	{"trailing data", "POST", "/v3/kv/put", `{"key":"Zm9v"} {`, 200, 400, "", "what follows the request is not ignored"},
	{"a key that is no base64", "POST", "/v3/kv/put", `{"key":"*"}`, 400, 400, "key", "parser text does not leak"},
	{"a number that is none", "POST", "/v3/kv/range", `{"key":"Zm9v","limit":"ten"}`, 400, 400, "limit", "parser text does not leak"},
	{"a key given twice", "POST", "/v3/kv/put", `{"key":"Zm9v","key":"YmFy"}`, 400, 400, "key", "parser text does not leak"},
	{"two of one oneof", "POST", "/v3/kv/txn", `{"compare":[{"version":"1","value":"YmFy"}]}`, 400, 400, "compare[0]", "parser text does not leak"},
	{"wrong method", "GET", "/v3/kv/put", "", 501, 405, "POST", "RFC 9110 has a status for it, with Allow"},
	{"unknown path", "POST", "/v3/kv/pot", "{}", 404, 404, "/v3/kv/pot", "the message names the path"},
}

func TestRESTDifferences(t *testing.T) {
	gateway := newTarget(t).http
	etcd := "http://" + startEtcd(t)
	client := newHTTPClient(t)
	for _, tt := range differences {
		t.Run(tt.name, func(t *testing.T) {
			own := send(t, client, tt.method, etcd+tt.path, tt.body, 0)
			if own.status != tt.own {
				t.Errorf("etcd's own gateway: status %d, want %d: %s", own.status, tt.own, own.body)
			}
			if *direct {
				return
			}
			got := send(t, client, tt.method, gateway+tt.path, tt.body, 0)
			if got.status != tt.want {
				t.Errorf("status %d, want %d, since %s: %s", got.status, tt.want, tt.reason, got.body)
			}
			answer, _ := got.json[0].(map[string]any)
			message, _ := answer["message"].(string)
			if !strings.Contains(message, tt.field) || message == "" || strings.Contains(message, "proto:") {
				t.Errorf("the message %q should name %q", message, tt.field)
			}
			if own.status == got.status && answer["code"] != own.json[0].(map[string]any)["code"] {
				t.Errorf("got %s, etcd's own gateway answers %s", got.body, own.body)
			}
		})
	}
}

// TestRESTSnapshot downloads a server stream of binary chunks: the database,
// and behind it the SHA-256 of the database.
func TestRESTSnapshot(t *testing.T) {
	gateway := newTarget(t).http
	client := newHTTPClient(t)
	send(t, client, http.MethodPost, gateway+"/v3/kv/put", `{"key":"Zm9v","value":"YmFy"}`, 0)
	got := send(t, client, http.MethodPost, gateway+"/v3/maintenance/snapshot", `{}`, 1<<20)
	var all []byte
	for _, line := range got.json {
		chunk := line.(map[string]any)["result"].(map[string]any)
		blob, err := base64.StdEncoding.DecodeString(chunk["blob"].(string))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, blob...)
	}
	if len(all) <= sha256.Size {
		t.Fatalf("the snapshot has %d bytes", len(all))
	}
	database, sum := all[:len(all)-sha256.Size], all[len(all)-sha256.Size:]
	if want := sha256.Sum256(database); !bytes.Equal(sum, want[:]) {
		t.Error("the snapshot is not what its checksum says")
	}
}

// answer is what an HTTP server said.
type answer struct {
	status int
	body   []byte
	json   []any // the body, or each message read of a stream, without what is volatile
}

func (r request) send(t *testing.T, client *http.Client, base string) answer {
	t.Helper()
	got := send(t, client, http.MethodPost, base+r.path, r.body, r.lines)
	for _, message := range got.json {
		if members, ok := message.(map[string]any); ok {
			delete(members, r.varies)
		}
	}
	return got
}

// send sends a request. It reads the whole body, or at most so many messages
// of one which is a stream.
func send(t *testing.T, client *http.Client, method, url, body string, lines int) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var read bytes.Buffer
	got := answer{status: resp.StatusCode}
	got.json = messages(t, json.NewDecoder(io.TeeReader(resp.Body, &read)), max(lines, 1))
	got.body = read.Bytes()
	return got
}

// messages reads at most n JSON values, without what is volatile.
func messages(t *testing.T, from *json.Decoder, n int) []any {
	t.Helper()
	from.UseNumber()
	all := []any{}
	for len(all) < n {
		var v any
		err := from.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %d messages: %v", len(all), err)
		}
		all = append(all, steady(v))
	}
	return all
}

func parse(t *testing.T, body []byte) []any {
	t.Helper()
	return messages(t, json.NewDecoder(bytes.NewReader(body)), 1)
}

// steady removes what two etcds do not share: their names, terms and times. An
// empty "details" means what none does.
func steady(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range []string{"cluster_id", "member_id", "raft_term"} {
			delete(v, name)
		}
		if list, ok := v["details"].([]any); ok && len(list) == 0 {
			delete(v, "details")
		}
		for name := range v {
			v[name] = steady(v[name])
		}
	case []any:
		for i := range v {
			v[i] = steady(v[i])
		}
	}
	return v
}

// newHTTPClient has connections of its own, closed with the test.
func newHTTPClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}
