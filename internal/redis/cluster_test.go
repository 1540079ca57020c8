package redis_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/redis"
	"github.com/gatehouse-dev/gatehouse/test/redistest"
)

// startCluster starts masters that have a third of the slots each.
func startCluster(t *testing.T) []*redistest.Server {
	t.Helper()
	const slots, masters = 16384, 3
	nodes, buses := make([]*redistest.Server, masters), make([]string, masters)
	for i := range nodes {
		buses[i] = freePort(t)
		nodes[i] = redistest.Start(t, "--cluster-enabled", "yes", "--cluster-port", buses[i])
		nodes[i].Do(fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*slots/masters, (i+1)*slots/masters-1))
		nodes[i].Do(fmt.Sprintf("CLUSTER SET-CONFIG-EPOCH %d", i+1))
	}
	for i, n := range nodes[1:] {
		host, port, _ := net.SplitHostPort(n.Addr)
		nodes[0].Do(strings.Join([]string{"CLUSTER MEET", host, port, buses[i+1]}, " "))
	}
	return nodes
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// Each master of a cluster must take writes, for a limit may be kept by any.
func TestACluster(t *testing.T) {
	nodes := startCluster(t)
	var addresses []string
	for _, n := range nodes {
		addresses = append(addresses, n.Addr)
	}
	s := dial(t, redis.Options{Addresses: addresses})
	until(t, "the cluster is up", s.Up)
	for i := range 50 {
		if reply, err := s.Run(t.Context(), count, []string{fmt.Sprint(i)}); err != nil || reply != int64(1) {
			t.Fatalf("reply %v, %v; want 1", reply, err)
		}
	}
	nodes[2].Do("CONFIG SET min-replicas-to-write 1")
	i := 50
	until(t, "the cluster is down", func() bool {
		i++
		_, _ = s.Run(t.Context(), count, []string{fmt.Sprint(i)})
		return !s.Up()
	})
	nodes[2].Do("CONFIG SET min-replicas-to-write 0")
	until(t, "the cluster is up again", s.Up)
}
