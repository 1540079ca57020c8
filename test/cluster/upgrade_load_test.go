//go:build linux

package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Bounds of the load.
const (
	upgradePatience = 60 * time.Second       // for one call, far more than any takes
	lateness        = 300 * time.Millisecond // of clients that connect and then think
	atOnce          = 3000                   // connections, fewer than a queue holds; those above it are not attempted, and the test says so
	keeperPause     = 40 * time.Millisecond
)

// upgradeLoad makes new connections in open loop: they arrive whether or not
// those before have been answered.
type upgradeLoad struct {
	http    string // the listeners, which stay where they are
	grpc    string
	rate    int
	cancel  context.CancelFunc
	all     sync.WaitGroup
	begun   time.Time
	sent    atomic.Int64
	skipped atomic.Int64
	kept    atomic.Int64
	open    atomic.Int64
	peak    atomic.Int64
	right   atomic.Int64
	mu      sync.Mutex
	losses  []upgradeLoss
	kills   []upgradeKill
}

// upgradeLoss is a call without its answer.
type upgradeLoss struct {
	reason           string
	connected, ended time.Time // connected is zero where no connection was made
}

// upgradeKill is the end of a process that was killed. What it had in hand may be
// lost: connections that were there before, whose calls had no answer yet.
type upgradeKill struct{ began, dead time.Time }

func (k upgradeKill) excuses(l upgradeLoss) bool {
	return !l.connected.IsZero() && !l.connected.After(k.dead) && !l.ended.Before(k.began)
}

func startUpgradeLoad(t *testing.T, g *upgradable, rate, keepers int) *upgradeLoad {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &upgradeLoad{http: g.http, grpc: g.grpc, rate: rate, cancel: cancel, begun: time.Now()}
	l.all.Go(func() { l.arrive(ctx) })
	for k := range keepers {
		l.all.Go(func() { l.keep(ctx, k) })
	}
	t.Cleanup(func() {
		cancel()
		l.all.Wait()
	})
	return l
}

// arrive begins as many connections as the clock says are due.
func (l *upgradeLoad) arrive(ctx context.Context) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(l.begun).Seconds() * float64(l.rate)); n < due; n++ {
			if l.open.Load() >= atOnce {
				l.skipped.Add(1)
				continue
			}
			l.sent.Add(1)
			l.peak.Store(max(l.peak.Load(), l.open.Add(1)))
			l.begin(n)
		}
	}
}

func (l *upgradeLoad) begin(n int) {
	l.all.Go(func() {
		defer l.open.Add(-1)
		c := &upgradeClient{n: n}
		kind, err := l.call(c)
		l.count(kind, c.connected, err)
	})
}

// call makes a connection and one call on it.
func (l *upgradeLoad) call(c *upgradeClient) (kind string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), upgradePatience)
	defer cancel()
	switch c.n % 20 {
	case 0:
		return "gRPC over HTTP", c.grpc(ctx, l.http)
	case 10:
		return "native gRPC", c.grpc(ctx, l.grpc)
	case 5:
		return "HTTP/1.1, late", c.http(ctx, l.http, lateness)
	default:
		return "HTTP/1.1", c.http(ctx, l.http, 0)
	}
}

func (l *upgradeLoad) count(kind string, connected time.Time, err error) {
	if err == nil {
		l.right.Add(1)
		return
	}
	loss := upgradeLoss{kind + ": " + upgradeReason(err), connected, time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.losses = append(l.losses, loss)
}

// killed tells of a process that was killed.
func (l *upgradeLoad) killed(k upgradeKill) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kills = append(l.kills, k)
}

// upgradeReason is an error without what differs from one to the next.
func upgradeReason(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// upgradeClient makes a connection and one call on it.
type upgradeClient struct {
	n         int
	connected time.Time // the last time
}

// dial connects from one of many addresses, so that there are ports enough.
func (u *upgradeClient) dial(ctx context.Context, to string) (*net.TCPConn, error) {
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 88, byte(1+u.n%250))}
	c, err := (&net.Dialer{LocalAddr: from}).DialContext(ctx, "tcp", to)
	if err != nil {
		u.connected = time.Time{}
		return nil, err
	}
	u.connected = time.Now()
	return c.(*net.TCPConn), nil
}

func (u *upgradeClient) http(ctx context.Context, to string, late time.Duration) error {
	n := u.n
	c, err := u.dial(ctx, to)
	if err != nil {
		return err
	}
	defer func() {
		_ = c.SetLinger(0) // all has been read; a port is free at once
		_ = c.Close()
	}()
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	if late > 0 {
		time.Sleep(late)
	}
	last := ""
	if n%2 == 0 {
		last = "Connection: close\r\n"
	}
	if _, err = fmt.Fprintf(c, "GET /v1/shelves/s%d HTTP/1.1\r\nHost: shop\r\n%s\r\n", n, last); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf(`"shelves/s%d"`, n); resp.StatusCode != 200 || !strings.Contains(string(body), want) {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

func (u *upgradeClient) grpc(ctx context.Context, to string) error {
	cc, err := grpc.NewClient("passthrough:///"+to, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: upgradePatience}), // or it gives up by itself
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) { return u.dial(ctx, to) }))
	if err != nil {
		return err
	}
	defer func() { _ = cc.Close() }()
	name, answer := fmt.Sprintf("shelves/s%d", u.n), new(wrapperspb.StringValue)
	if err := cc.Invoke(ctx, "/shop.catalog.v1.CatalogService/GetShelf", wrapperspb.String(name), answer); err != nil {
		return err
	}
	if answer.GetValue() != name {
		return errors.New("a wrong answer")
	}
	return nil
}

// keep makes one call after the other on a connection that it keeps as long as
// it is let. No client repeats a POST by itself whose connection broke.
func (l *upgradeLoad) keep(ctx context.Context, k int) {
	transport := &http.Transport{MaxIdleConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: upgradePatience}
	tick := time.NewTicker(keeperPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.kept.Add(1)
		resp, err := client.Post("http://"+l.http+"/v1/products", "application/json", strings.NewReader("{}"))
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != 200 {
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
		}
		l.count("kept connection", time.Time{}, err)
	}
}

// upgradeSum is what has come of a load.
type upgradeSum struct {
	took                      time.Duration
	sent, kept, skipped, peak int64
	lost, excused             int
	rate                      int
}

func (s upgradeSum) String() string {
	return fmt.Sprintf("%d new connections, %.0f a second of %d asked for (%d not attempted), at most %d open at once; %d calls on kept connections; %d refused or lost, %d more in the hands of who was killed",
		s.sent, float64(s.sent)/s.took.Seconds(), s.rate, s.skipped, s.peak, s.kept, s.lost, s.excused)
}

// stop waits for all answers, and fails the test if one is missing.
func (l *upgradeLoad) stop(t *testing.T) upgradeSum {
	t.Helper()
	took := time.Since(l.begun)
	l.cancel()
	l.all.Wait()
	reasons, excused := map[string]int{}, 0
	for _, loss := range l.losses {
		if slices.ContainsFunc(l.kills, func(k upgradeKill) bool { return k.excuses(loss) }) {
			excused++
			continue
		}
		reasons[loss.reason]++
	}
	for reason, n := range reasons {
		t.Errorf("%d calls: %s", n, reason)
	}
	if got, want := l.right.Load()+int64(excused), l.sent.Load()+l.kept.Load(); got != want {
		t.Errorf("%d of %d calls had their answer", got, want)
	}
	return upgradeSum{
		took: took, sent: l.sent.Load(), kept: l.kept.Load(), skipped: l.skipped.Load(), peak: l.peak.Load(),
		lost: len(l.losses) - excused, excused: excused, rate: l.rate,
	}
}
