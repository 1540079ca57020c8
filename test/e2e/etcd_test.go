package e2e_test

import (
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// startLimit bounds the start of one server.
const startLimit = 30 * time.Second

// startEtcd starts an etcd of one member, empty, and returns the host and port
// where it serves both gRPC and its own HTTP gateway. Two of them that are sent
// the same requests give the same answers, revisions included.
func startEtcd(t *testing.T) (address string) {
	t.Helper()
	for range 5 { // another process may take the free port first
		cfg := etcdConfig(t, freeAddress(t))
		etcd, err := embed.StartEtcd(cfg)
		if err != nil && strings.Contains(err.Error(), "address already in use") {
			continue
		}
		if err != nil {
			t.Fatalf("start etcd: %v", err)
		}
		t.Cleanup(etcd.Close)
		select {
		case <-etcd.Server.ReadyNotify():
			return cfg.ListenClientUrls[0].Host
		case err := <-etcd.Err():
			t.Fatalf("etcd ended: %v", err)
		case <-time.After(startLimit):
			t.Fatalf("etcd was not ready within %v", startLimit)
		}
	}
	t.Fatal("found no free port for etcd")
	return ""
}

func etcdConfig(t *testing.T, address string) *embed.Config {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = t.TempDir()
	client := []url.URL{{Scheme: "http", Host: address}}
	// Nobody dials the only member's peer port, so its name need not be true,
	// and being always the same it makes all members' ids the same.
	peer := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = client, client
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = peer, peer
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	// The only member elects itself after a second by default. Nothing here
	// has to survive a power cut.
	cfg.TickMs, cfg.ElectionMs = 10, 100
	cfg.UnsafeNoFsync = true
	return cfg
}

// freeAddress is a loopback address whose port is free now. etcd has to be
// told a port, since its gateway dials the one in its configuration.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
