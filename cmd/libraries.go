package cmd

import (
	"context"
	"fmt"
	"io"
	"log" //nolint:depguard // only to take what libraries write there
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"google.golang.org/grpc/grpclog"

	"github.com/gatehouse-dev/gatehouse/internal/live"
)

// libraries takes what libraries log through loggers of the whole process, and gives
// it to the log of the gateway that serves: by themselves they would write to
// standard error, where one that nobody reads holds them, and with them calls.
type libraries struct {
	stderr  io.Writer // while no gateway serves
	serving atomic.Pointer[live.Gateway]
}

// adopt has the libraries log through l. It is called once, before any of them is
// used.
func (l *libraries) adopt() {
	grpclog.SetLoggerV2(&grpcLog{grpcLogger(libraryLog{l, "grpc", false}), l})
	log.SetFlags(0)
	log.SetOutput(libraryLog{l, "log", true})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		_, _ = libraryLog{l, "otel", false}.Write([]byte(err.Error() + "\n"))
	}))
}

// grpcLogger logs as much as the environment asks for, as grpc-go's own does.
func grpcLogger(to io.Writer) grpclog.LoggerV2 {
	info, warn, err := io.Discard, io.Discard, io.Discard
	switch strings.ToUpper(os.Getenv("GRPC_GO_LOG_SEVERITY_LEVEL")) {
	case "INFO":
		info = to
	case "WARNING":
		warn = to
	case "ERROR", "":
		err = to
	}
	verbosity, _ := strconv.Atoi(os.Getenv("GRPC_GO_LOG_VERBOSITY_LEVEL")) // else 0
	return grpclog.NewLoggerV2WithVerbosity(info, warn, err, verbosity)
}

// libraryLog is where one library writes.
type libraryLog struct {
	*libraries
	name string
	// flush has each line written before its writer goes on, who may end the process
	// next.
	flush bool
}

func (l libraryLog) Write(line []byte) (int, error) {
	g := l.serving.Load()
	if g == nil {
		return l.stderr.Write(line)
	}
	g.Log().Log(context.Background(), slog.LevelWarn, "a library has logged", "library", l.name, "text", strings.TrimSpace(string(line)))
	if l.flush {
		g.FlushLog()
	}
	return len(line), nil
}

// grpcLog is grpc-go's logger, whose last words are not lost.
type grpcLog struct {
	grpclog.LoggerV2
	*libraries
}

func (l *grpcLog) fatal(text string) {
	if g := l.serving.Load(); g != nil {
		g.FlushLog()
	}
	within(func() { fmt.Fprint(l.stderr, "gatehouse: grpc: ", text, "\n") })
	os.Exit(1) // what the interface asks for
}

// Fatal ends the process.
func (l *grpcLog) Fatal(args ...any) { l.fatal(fmt.Sprint(args...)) }

// Fatalln ends the process.
func (l *grpcLog) Fatalln(args ...any) { l.fatal(fmt.Sprint(args...)) }

// Fatalf ends the process.
func (l *grpcLog) Fatalf(format string, args ...any) { l.fatal(fmt.Sprintf(format, args...)) }
