// Command adapter is what the conformance suite's runner starts as the server
// under test, Gatehouse in front of a server of the suite, or as the client under
// test, a client that calls the suite's servers through Gatehouse.
//
//	connectconformance --mode server --conf grpc.yaml -- adapter -backend referenceserver -gatehouse gatehouse
//	connectconformance --mode client --conf grpc.yaml -- adapter -client -gatehouse gatehouse
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/gatehouse-dev/gatehouse/test/conformance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "adapter:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	var a conformance.Adapter
	flags := flag.NewFlagSet("adapter", flag.ContinueOnError)
	client := flags.Bool("client", false, "be a client, for servers that the runner starts")
	flags.StringVar(&a.Backend, "backend", "referenceserver", "program of the suite's server that speaks gRPC")
	flags.StringVar(&a.Gatehouse, "gatehouse", "", "program of the gateway; none lets the backend answer itself")
	flags.StringVar(&a.Image, "image", "", "image of the suite's contract; none compiles it from the suite's module")
	flags.StringVar(&a.Door, "door", conformance.DoorGRPC, `listener of the gateway to test, "grpc" or "http"`)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if a.Image == "" && a.Gatehouse != "" {
		dir, err := os.MkdirTemp("", "gatehouse-conformance-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		a.Image = filepath.Join(dir, "conformance.binpb")
		if err := conformance.WriteImage(ctx, a.Image); err != nil {
			return err
		}
	}
	if *client {
		return a.RunClient(ctx, os.Stdin, os.Stdout)
	}
	return a.Run(ctx, os.Stdin, os.Stdout)
}
