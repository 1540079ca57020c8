package e2e_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// created is the answer to the creation of a product.
type created struct {
	status   int
	body     string
	replayed bool
	err      error
}

// create creates a product under a key.
func create(client *http.Client, at *gateway, key, product string) (c created) {
	req, err := http.NewRequest(http.MethodPost, at.http+"/v1/products", strings.NewReader(product))
	if err != nil {
		return created{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		return created{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return created{
		status: resp.StatusCode, body: string(body), err: err,
		replayed: resp.Header.Get("Idempotency-Replayed") == "true",
	}
}

// persist creates a product as a client does that was told to come again.
func persist(client *http.Client, at *gateway, key, product string) (c created, conflicts int) {
	for c = create(client, at, key, product); c.status == http.StatusConflict; c = create(client, at, key, product) {
		conflicts++
	}
	return c, conflicts
}

const sharedKeys = "idempotency: {store: redis}"

const lamp = `{"displayName": "Lamp"}`

// TestSharedKeys sends one key to two gateways while the first call is held by
// the backend, which must hear of it once; and has the second answer for the
// first when that is dead.
func TestSharedKeys(t *testing.T) {
	arrived, release := make(chan struct{}, 8), make(chan struct{})
	b := startBackend(t, func(ctx context.Context) {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-ctx.Done():
		}
	})
	replicas := startReplicas(t, 2, b, sharedKeys, redisAt(startRedis(t)))
	one, other := newHTTPClient(t), newHTTPClient(t)
	const key = `"4c1f-a"`
	first := make(chan created, 1)
	go func() { first <- create(one, replicas[0], key, lamp) }()
	<-arrived
	if got := create(other, replicas[1], key, lamp); got.err != nil || got.status != http.StatusConflict {
		t.Errorf("while the first call is under way: got %+v, want status 409", got)
	}
	close(release)
	want := <-first
	if want.err != nil || want.status != http.StatusOK || want.replayed || !strings.Contains(want.body, "products/call-1") {
		t.Fatalf("the first call: got %+v", want)
	}
	wantReplay := func(when string, at *gateway) {
		t.Helper()
		if got := create(other, at, key, lamp); got.err != nil || got.status != want.status || got.body != want.body || !got.replayed {
			t.Errorf("%s: got %+v, want the answer of the first call, %s", when, got, want.body)
		}
	}
	wantReplay("after the first call, at the other gateway", replicas[1])
	wantReplay("after the first call, at the same gateway", replicas[0])
	if got := create(other, replicas[1], key, `{"displayName": "Torch"}`); got.err != nil || got.status < 400 || got.status > 499 {
		t.Errorf("another request under the same key: got %+v, want it refused", got)
	}
	replicas[0].kill(t)
	wantReplay("after the first gateway was killed", replicas[1])
	if got := b.calls.Load(); got != 1 {
		t.Errorf("the backend had %d calls, want 1", got)
	}
}

// TestSharedKeysAtOnce lets two gateways race for many keys.
func TestSharedKeysAtOnce(t *testing.T) {
	const keys = 100
	b := startBackend(t, nil)
	replicas := startReplicas(t, 2, b, sharedKeys, redisAt(startRedis(t)))
	clients := []*http.Client{newHTTPClient(t), newHTTPClient(t)}
	conflicts, replays := 0, 0
	for i := range keys {
		key := `"` + strings.Repeat("k", i+1) + `"`
		answers := make(chan created, len(replicas))
		told := make(chan int, len(replicas))
		for j, at := range replicas {
			go func() {
				c, n := persist(clients[j], at, key, lamp)
				answers <- c
				told <- n
			}()
		}
		a, b := <-answers, <-answers
		conflicts += <-told + <-told
		if a.err != nil || a.status != http.StatusOK || b.err != nil || b.status != http.StatusOK || a.body != b.body {
			t.Fatalf("key %d: got %+v and %+v, want the same answer", i, a, b)
		}
		if a.replayed == b.replayed {
			t.Errorf("key %d: got %+v and %+v, want one of them replayed", i, a, b)
		}
		replays++
	}
	t.Logf("%d keys, each called twice at once: %d were told to come again", replays, conflicts)
	if got := b.calls.Load(); got != keys {
		t.Errorf("the backend had %d calls, want one for each of %d keys", got, keys)
	}
}
