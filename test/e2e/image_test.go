package e2e_test

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/test/e2e"
)

// TestImage proves that the image is whole: it links, and its RPCs have their
// bindings.
func TestImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etcd.binpb")
	if err := e2e.WriteImage(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(data, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	for rpc, want := range map[protoreflect.FullName]string{
		"etcdserverpb.KV.Range":             "/v3/kv/range",
		"etcdserverpb.Lease.LeaseGrant":     "/v3/lease/grant",
		"v3lockpb.Lock.Lock":                "/v3/lock/lock",
		"v3electionpb.Election.Campaign":    "/v3/election/campaign",
		"etcdserverpb.Maintenance.Status":   "/v3/maintenance/status",
		"etcdserverpb.Cluster.MemberList":   "/v3/cluster/member/list",
		"etcdserverpb.Auth.AuthStatus":      "/v3/auth/status",
		"etcdserverpb.Watch.Watch":          "/v3/watch",
		"etcdserverpb.Lease.LeaseKeepAlive": "/v3/lease/keepalive",
	} {
		desc, err := files.FindDescriptorByName(rpc)
		if err != nil {
			t.Errorf("%s: %v", rpc, err)
			continue
		}
		rule, _ := proto.GetExtension(desc.Options(), annotations.E_Http).(*annotations.HttpRule)
		if got := rule.GetPost(); got != want {
			t.Errorf("%s: bound to POST %q, want %q", rpc, got, want)
		}
	}
}
