package upstream_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// nameServer answers for one name, and counts the questions.
type nameServer struct {
	address string

	mu      sync.Mutex
	list    []string
	unknown bool
	asked   int
	delay   time.Duration // of answers
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	n := &nameServer{address: c.LocalAddr().String()}
	go func() {
		buf := make([]byte, 512)
		for {
			size, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, delay, err := n.answer(buf[:size]); err == nil {
				time.AfterFunc(delay, func() { _, _ = c.WriteTo(answer, from) })
			}
		}
	}()
	return n
}

func (n *nameServer) answer(question []byte) (answer []byte, delay time.Duration, err error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, 0, err
	}
	n.fill(&m)
	answer, err = m.Pack()
	n.mu.Lock()
	defer n.mu.Unlock()
	return answer, n.delay, err
}

func (n *nameServer) fill(m *dnsmessage.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m.Response, m.Additionals = true, nil
	q := m.Questions[0]
	if q.Type != dnsmessage.TypeA {
		return
	}
	n.asked++
	if n.unknown {
		m.RCode = dnsmessage.RCodeNameError
		return
	}
	for _, a := range n.list {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
		})
	}
}

func (n *nameServer) set(unknown bool, list ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unknown, n.list = unknown, list
}

// again waits for questions that were asked from now on to have been answered.
func (n *nameServer) again(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	before := n.asked
	n.mu.Unlock()
	gatewaytest.Eventually(t, "more questions", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.asked > before+2
	})
}

// pods are replicas with addresses of their own and one port.
func pods(t *testing.T, addresses ...string) ([]*backend, string) {
	t.Helper()
	var port string
	var all []*backend
	for _, a := range addresses {
		l, err := net.Listen("tcp", net.JoinHostPort(a, port)) // "" is any that is free
		if err != nil {
			t.Skipf("no second address on loopback: %v", err)
		}
		if port == "" {
			_, port, _ = net.SplitHostPort(l.Addr().String())
		}
		all = append(all, newBackend(t, l))
	}
	return all, port
}

// TestNewPodGetsCalls: nobody fails, no connection ends, and yet a replica that
// is new in DNS gets calls, and one that is not there any more gets none.
func TestNewPodGetsCalls(t *testing.T) {
	t.Parallel()
	all, port := pods(t, "127.0.0.1", "127.0.0.2", "127.0.0.3")
	names := newNameServer(t)
	names.set(false, "127.0.0.1")
	o := options(nil)
	o.Target = fmt.Sprintf("dns://%s/shop.test:%s", names.address, port)
	o.Balancing.Refresh = 20 * time.Millisecond
	up := dial(t, o)
	settle(t, up, all, 0)
	names.set(false, "127.0.0.1", "127.0.0.2")
	settle(t, up, all, 0, 1)
	names.set(false, "127.0.0.2", "127.0.0.3")
	settle(t, up, all, 1, 2)
	gatewaytest.Eventually(t, "two connections", func() bool { return up.Status().Connections == 2 })
	if s := up.Status(); s.Found != "dns" || s.Replicas != 2 || s.Problem != "" {
		t.Errorf("status = %+v", s)
	}
	testNameGone(t, names, func() bool { _ = sendMany(t, up, all, 5); return up.Status().Problem != "" })
	settle(t, up, all, 1, 2)
	names.set(false, "127.0.0.1")
	settle(t, up, all, 0)
	if s := up.Status(); s.Problem != "" || s.Replicas != 1 {
		t.Errorf("status = %+v", s)
	}
}

// testNameGone: the replicas that were known stay while DNS knows the name no
// more.
func testNameGone(t *testing.T, names *nameServer, told func() bool) {
	t.Helper()
	names.set(true)
	names.again(t)
	gatewaytest.Eventually(t, "the problem with the name", told)
}

// TestNoRefresh: without a timer, nobody asks again while all is well.
func TestNoRefresh(t *testing.T) {
	t.Parallel()
	all, port := pods(t, "127.0.0.1")
	names := newNameServer(t)
	names.set(false, "127.0.0.1")
	o := options(nil)
	o.Target = fmt.Sprintf("dns://%s/shop.test:%s", names.address, port)
	up := dial(t, o)
	settle(t, up, all, 0)
	names.mu.Lock()
	defer names.mu.Unlock()
	if names.asked != 1 {
		t.Errorf("asked %d times, want once", names.asked)
	}
}

// TestSlowNames: a server of DNS that takes longer than the timer is heard out.
func TestSlowNames(t *testing.T) {
	t.Parallel()
	all, port := pods(t, "127.0.0.1")
	names := newNameServer(t)
	names.set(false, "127.0.0.1")
	names.mu.Lock()
	names.delay = 200 * time.Millisecond
	names.mu.Unlock()
	o := options(nil)
	o.Target = fmt.Sprintf("dns://%s/shop.test:%s", names.address, port)
	o.Balancing.Refresh = 5 * time.Millisecond
	settle(t, dial(t, o), all, 0)
}

// TestTheServerThatWasAskedIsTold: not one of the system's.
func TestTheServerThatWasAskedIsTold(t *testing.T) {
	t.Parallel()
	o := options(nil)
	o.Target = "dns://127.0.0.1:1/shop.test:9000" // nothing is there
	up := dial(t, o)
	gatewaytest.Eventually(t, "the problem", func() bool { return up.Status().Problem != "" })
	if got := up.Status().Problem; !strings.Contains(got, "lookup shop.test on 127.0.0.1:1: ") {
		t.Errorf("the problem is %q, want the server of the target", got)
	}
	if err := send(t.Context(), up); err == nil {
		t.Error("a call succeeded")
	}
}

// TestUnknownName: the status tells why there are no replicas.
func TestUnknownName(t *testing.T) {
	t.Parallel()
	names := newNameServer(t)
	names.set(true)
	o := options(nil)
	o.Target = "dns://" + names.address + "/shop.test:9000"
	o.Balancing.Refresh = 20 * time.Millisecond
	up := dial(t, o)
	gatewaytest.Eventually(t, "the problem", func() bool { return strings.Contains(up.Status().Problem, "has no addresses") })
	if err := send(t.Context(), up); err == nil || !strings.Contains(err.Error(), `upstream "shop" is unavailable`) {
		t.Errorf("err = %v", err)
	}
}
