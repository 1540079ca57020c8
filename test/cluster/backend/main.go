// Command backend is one replica of a backend. It writes down each execution of a
// call that has side effects before it answers, and dies without a word.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/test/cluster/contract"
)

// beat is the time between two messages of a stream.
const beat = 20 * time.Millisecond

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	journal := flag.String("journal", "", "file to write executions to")
	name := flag.String("name", "", "of the replica")
	flag.Parse()
	if err := run(*address, *journal, *name); err != nil {
		fmt.Fprintln(os.Stderr, "backend:", err)
		os.Exit(1)
	}
}

func run(address, path, name string) error {
	c, err := contract.Load()
	if err != nil {
		return err
	}
	journal, err := contract.OpenJournal(path)
	if err != nil {
		return err
	}
	r := &replica{contract: c, journal: journal, life: name + "-" + rand.Text()[:8]}
	server := grpc.NewServer(grpc.UnknownServiceHandler(r.handle),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(os.Stdout, "serving", l.Addr()); err != nil {
		return err
	}
	return server.Serve(l)
}

// replica serves every RPC of the contract.
type replica struct {
	contract *contract.Contract
	journal  *contract.Journal
	life     string // of this process: no other has the same
	done     atomic.Int64
}

func (r *replica) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	msg := r.contract.NewAsk()
	if err := stream.RecvMsg(msg); err != nil {
		return err
	}
	var ask contract.Ask
	if err := contract.Read(msg, &ask); err != nil {
		return err
	}
	answer := contract.Answer{
		Nonce: ask.Nonce, Digest: ask.Digest(method),
		Execution: fmt.Sprintf("%s-%d", r.life, r.done.Add(1)),
	}
	switch rpc := contract.RPC(method); rpc {
	case "Read":
	case "Put", "Order", "Fire", "Limited":
		if err := r.journal.Write(contract.Entry{RPC: rpc, Nonce: ask.Nonce, Execution: answer.Execution, At: time.Now()}); err != nil {
			return status.Errorf(codes.DataLoss, "the journal does not take it: %v", err)
		}
	case "Watch":
		return r.watch(stream, answer, ask.Count)
	default:
		return status.Errorf(codes.Unimplemented, "%s is no RPC", method)
	}
	<-time.After(work())
	return r.send(stream, answer)
}

func (r *replica) watch(stream grpc.ServerStream, answer contract.Answer, count int32) error {
	for answer.Number = range count {
		if err := r.send(stream, answer); err != nil {
			return err
		}
		select {
		case <-time.After(beat):
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
	return nil
}

func (r *replica) send(stream grpc.ServerStream, answer contract.Answer) error {
	msg, err := r.contract.Answering(answer)
	if err != nil {
		return err
	}
	return stream.SendMsg(msg)
}

// work is how long a call takes behind its execution: mostly a moment, now and
// then long enough that what happens to the replica happens in its midst.
func work() time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(1000))
	if err != nil || n.Int64() < 900 {
		return 5 * time.Millisecond
	}
	return time.Duration(n.Int64()-900) * 5 * time.Millisecond
}
