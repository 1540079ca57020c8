// Package cmd is Gatehouse's command line. A program that links contracts or
// policies of its own is Main with them:
//
//	package main
//
//	import (
//		"os"
//
//		"github.com/gatehouse-dev/gatehouse/cmd"
//
//		_ "example.com/library/gen/library/v1" // served with `schema: {linked: true}`
//	)
//
//	func main() { os.Exit(cmd.Main()) }
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/internal/server"
)

// App is the command line with what a program adds to it.
type App struct {
	// Interceptors run for every call, inside of Gatehouse's own policies.
	Interceptors []interceptors.Interceptor
	// Commands stand beside Gatehouse's own.
	Commands []func(*App) *cobra.Command
	// Version is what `version` prints; "" takes it from the build.
	Version string
	// Stdin is what commands read; nil is the process's standard input.
	Stdin io.Reader

	libraries *libraries // nil: they log as they like
}

// gcPercent lets the heap grow to five times what is live before the garbage
// collector runs: a gateway keeps little and throws away much.
const gcPercent = 400

// Main runs the command line of the process and returns its exit code: 0, 1 for
// an error, which it has printed, or 2 for wrong use. Unless the environment sets
// GOGC, it sets the garbage collector's percentage of the process to 400.
func Main() int { return new(App).Main() }

// Main is [Main] for a program with parts of its own.
func (a *App) Main() int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a.libraries = &libraries{stderr: os.Stderr}
	a.libraries.adopt()
	return a.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// Run runs one command line. Serving ends when ctx does.
func (a *App) Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.Stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	within(func() { fmt.Fprintln(stderr, "gatehouse:", err) })
	if _, ok := errors.AsType[*usageError](err); ok {
		return 2
	}
	return 1
}

// lastWords is how long the process waits for somebody to read why it ends.
const lastWords = time.Second

// within waits for write, and not for ever: nobody may be reading.
func within(write func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		write()
	}()
	select {
	case <-done:
	case <-time.After(lastWords):
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (a *App) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gatehouse",
		Short: "An edge gateway for gRPC services: REST and gRPC through one chain of policies",
		Example: "  gatehouse check --config gatehouse.yaml\n" +
			"  gatehouse serve --config gatehouse.yaml",
		Args:          knownCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       a.versionString(),
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return wrongUse(c, "%w", err)
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(a.serve(), a.check(), a.routes(), a.explain(), a.openAPI(), a.hash(), a.protos(), a.version())
	for _, c := range a.Commands {
		root.AddCommand(c(a))
	}
	return root
}

// wrongUse is an error that says where to read about c.
func wrongUse(c *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Errorf("%w; see `%s --help`", fmt.Errorf(format, args...), c.CommandPath())}
}

// knownCommand refuses what is no command of c.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return wrongUse(c, "unknown command %q: did you mean %q?", args[0], near[0])
	}
	return wrongUse(c, "unknown command %q", args[0])
}

// NoArgs refuses arguments that are not flags.
func NoArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return wrongUse(c, "unexpected argument %q", args[0])
}

// configFlag adds --config, which must be given.
func configFlag(c *cobra.Command) *string {
	file := c.Flags().StringP("config", "c", "", "the configuration, a YAML `FILE`; must be given")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if *file == "" {
			return wrongUse(c, "--config FILE is missing")
		}
		return nil
	}
	return file
}

// Addresses are the flags that change where the gateway listens.
type Addresses struct{ http, grpc, admin string }

// AddressFlags adds --http, --grpc and --admin.
func AddressFlags(c *cobra.Command) *Addresses {
	a := new(Addresses)
	c.Flags().StringVar(&a.http, "http", "", "serve REST, and gRPC over HTTP, on `ADDRESS` (default 127.0.0.1:8080)")
	c.Flags().StringVar(&a.grpc, "grpc", "", "serve native gRPC on `ADDRESS` (default 127.0.0.1:9090)")
	c.Flags().StringVar(&a.admin, "admin", "", "serve health, metrics and routes on `ADDRESS` (default 127.0.0.1:9901)")
	return a
}

// Apply returns the configuration with the flags that were given written over
// it.
func (a *Addresses) Apply(f *config.File) (*config.File, error) {
	return f.With(func(c *configv1.Config) {
		l := c.GetListeners()
		for _, set := range []struct {
			flag string
			to   *string
		}{
			{a.http, &l.GetHttp().Address}, {a.grpc, &l.GetGrpc().Address}, {a.admin, &l.GetAdmin().Address},
		} {
			if set.flag != "" {
				*set.to = set.flag
			}
		}
	})
}

func (a *App) serve() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Serve what the configuration exposes, until SIGTERM or SIGINT",
		Long: "Serve what the configuration exposes. --http, --grpc and --admin take precedence\n" +
			"over the addresses in it. On SIGTERM or SIGINT running calls may finish within\n" +
			"drain.timeout; a second signal ends them at once. What changes in the configuration,\n" +
			"in contracts and in certificates is taken while it runs; SIGHUP has it looked at now.\n\n" +
			"SIGUSR2 starts the program anew, from a file that may be newer, and gives it the\n" +
			"listening sockets; when that one is ready, this one drains. Sockets that systemd\n" +
			"passes are used. See docs/RESTART.md.",
		Example: "  gatehouse serve --config gatehouse.yaml",
		Args:    NoArgs,
	}
	file, addresses := configFlag(c), AddressFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		load := func() (*config.File, []string, error) {
			conf, files, err := config.Read(*file)
			if err == nil {
				conf, err = addresses.Apply(conf)
			}
			return conf, files, err
		}
		return replaceable(c.Context(), func(ctx context.Context, sockets server.Sockets, serve tenure) error {
			conf, _, err := load()
			if err != nil {
				return err
			}
			return a.serveWith(ctx, live.Options{Config: conf, Load: load, LogTo: c.ErrOrStderr(), Sockets: sockets}, serve)
		})
	}
	return c
}

// tenure serves until ctx ends. It is called when the listeners are open and nobody
// accepts yet.
type tenure func(context.Context, *live.Gateway, *server.Server) error

// Serve serves until ctx ends. ready is called once when the listeners are open.
func (a *App) Serve(ctx context.Context, o live.Options, ready func(*server.Server)) error {
	hangup, stop := hangups()
	defer stop()
	return a.serveWith(ctx, o, func(ctx context.Context, g *live.Gateway, srv *server.Server) error {
		if ready != nil {
			ready(srv)
		}
		return serve(ctx, g, srv, hangup)
	})
}

// hangups has SIGHUP, which is deadly by default, wait until somebody looks: it may come
// while the gateway starts or ends.
func hangups() (hangup <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// serve serves, and takes changes, until ctx ends.
func serve(ctx context.Context, g *live.Gateway, srv *server.Server, hangup <-chan os.Signal) error {
	defer follow(ctx, g, hangup)()
	return srv.Serve(ctx)
}

func (a *App) serveWith(ctx context.Context, o live.Options, serve tenure) (err error) {
	signal.Ignore(syscall.SIGPIPE) // a reader of the log that has ended ends nobody else
	g, err := a.gateway(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	if a.libraries != nil {
		a.libraries.serving.Store(g)
		defer a.libraries.serving.Store(nil)
	}
	srv, err := g.Listen()
	if err != nil {
		return err
	}
	g.Log().Info("serving", "http", srv.Address("http"), "grpc", srv.Address("grpc"), "admin", srv.Address("admin"), "rpcs", len(g.Table().Methods))
	for _, warning := range g.Table().Warnings {
		g.Log().Warn(warning)
	}
	g.FlushLog() // before anything else is said
	if err := serve(ctx, g, srv); err != nil {
		return errors.Join(err, srv.Close())
	}
	return nil
}

// follow has the gateway take changes until ctx ends. What it returns waits for
// the end of that.
func follow(ctx context.Context, g *live.Gateway, hangup <-chan os.Signal) (wait func()) {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Follow(ctx, hangup)
	}()
	return func() {
		stop()
		<-done
	}
}

// gateway builds a gateway with the program's own parts.
func (a *App) gateway(ctx context.Context, o live.Options) (*live.Gateway, error) {
	o.Version, o.Custom = a.versionString(), a.Interceptors
	return live.New(ctx, o)
}

func (a *App) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "gatehouse", a.versionString())
			return err
		},
	}
}

// versionString is the version that was linked in, or what the build knows.
func (a *App) versionString() string {
	if a.Version != "" {
		return a.Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
