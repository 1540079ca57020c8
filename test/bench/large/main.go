// Command large measures what the contract of a large public API costs Gatehouse: the
// time until it is ready, and the memory that it then has. It starts the released
// binary with all RPCs exposed and with a tenth of them, and has it reload once.
//
//	go run ./large
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/proc"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/publicapi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "large:", err)
		os.Exit(1)
	}
}

// flags are the command line.
type flags struct {
	gatehouse string
	write     string
	settle    time.Duration
	most      int64
	policies  bool
	api       publicapi.Options
}

func parse(args []string) (flags, error) {
	f := flags{api: publicapi.Large()}
	set := flag.NewFlagSet("large", flag.ContinueOnError)
	set.StringVar(&f.gatehouse, "gatehouse", "", "the gatehouse binary; empty means build it")
	set.StringVar(&f.write, "write", "", "write the image to this file, and measure nothing")
	set.DurationVar(&f.settle, "settle", 10*time.Second, "how long memory may take to be given back")
	set.Int64Var(&f.most, "most", 0, "fail if more than this many MiB are resident then; 0 sets no bound")
	set.BoolVar(&f.policies, "policies", false, "with authentication, limits, retries and a breaker for every RPC")
	set.Uint64Var(&f.api.Seed, "seed", f.api.Seed, "the seed of the contract")
	set.IntVar(&f.api.RPCs, "rpcs", f.api.RPCs, "how many RPCs the contract has")
	set.IntVar(&f.api.Bindings, "bindings", f.api.Bindings, "how many HTTP bindings they have")
	set.IntVar(&f.api.Files, "files", f.api.Files, "how many files the contract has")
	set.BoolVar(&f.api.Comments, "comments", f.api.Comments, "with source info, as compilers write it")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("argument %q is too much: there are only flags", set.Arg(0))
	}
	return f, nil
}

func run(ctx context.Context, args []string) error {
	f, err := parse(args)
	if err != nil {
		return err
	}
	api := publicapi.Make(f.api)
	image, err := proto.MarshalOptions{Deterministic: true}.Marshal(api)
	if err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	if f.write != "" {
		return os.WriteFile(f.write, image, 0o600)
	}
	folder, err := os.MkdirTemp("", "gatehouse-large-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if f.gatehouse == "" {
		f.gatehouse = filepath.Join(folder, "gatehouse")
		if err := proc.Build(ctx, f.gatehouse); err != nil {
			return err
		}
	}
	if err := writeOld(filepath.Join(folder, "image.binpb"), image); err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "An image of %d MB: %d files, %v\n\n", len(image)/1_000_000, len(api.GetFile()), count(api))
	fmt.Fprintln(os.Stdout, "| Exposed | Ready, s | CPU, s | Resident, MiB | Given back | After a reload | Peak |")
	fmt.Fprintln(os.Stdout, "|---|--:|--:|--:|--:|--:|--:|")
	packages := packagesOf(api)
	for _, one := range []struct {
		name     string
		packages []string
	}{{"all", []string{"acme"}}, {"a tenth", packages[:len(packages)/10]}} {
		m, err := f.measure(ctx, folder, one.packages)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stdout, "| %s | %.2f | %.2f | %d | %d | %d | %d |\n", one.name, m.ready.Seconds(), m.cpu.Seconds(), m.loaded>>20, m.settled>>20, m.reloaded>>20, m.peak>>20)
		if f.most > 0 && m.settled>>20 > f.most {
			return fmt.Errorf("%d MiB are resident with %s exposed: want at most %d", m.settled>>20, one.name, f.most)
		}
	}
	return nil
}

// counts are what an API has.
type counts struct{ services, rpcs, messages, fields int }

func (c counts) String() string {
	return fmt.Sprintf("%d services, %d RPCs, %d messages, %d fields", c.services, c.rpcs, c.messages, c.fields)
}

func count(api *descriptorpb.FileDescriptorSet) (c counts) {
	var messages func([]*descriptorpb.DescriptorProto)
	messages = func(list []*descriptorpb.DescriptorProto) {
		for _, m := range list {
			c.messages++
			c.fields += len(m.GetField())
			messages(m.GetNestedType())
		}
	}
	for _, file := range api.GetFile() {
		messages(file.GetMessageType())
		for _, s := range file.GetService() {
			c.services++
			c.rpcs += len(s.GetMethod())
		}
	}
	return c
}

// packagesOf lists the packages that have services, in their order.
func packagesOf(api *descriptorpb.FileDescriptorSet) (list []string) {
	for _, file := range api.GetFile() {
		if len(file.GetService()) > 0 && (len(list) == 0 || list[len(list)-1] != file.GetPackage()) {
			list = append(list, file.GetPackage())
		}
	}
	return list
}
