package server

import (
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Flow-control windows and frames of HTTP/2: enough for a round trip within a
// data centre, small enough that a hundred streams cannot fill the memory.
const (
	streamWindow = 64 << 10
	connWindow   = 1 << 20
	// connWindowMost is half of what HTTP/2 allows (RFC 9113, section 6.9.1).
	connWindowMost = 1 << 30
	frameBytes     = 16 << 10
	// readBuffer is what a connection of the port of gRPC's own has for reading, at rest
	// too. Frames that are larger need none.
	readBuffer = 8 << 10
)

// A client may ping as often as this; one that has gone is noticed after
// pingAfter and pingTimeout.
const (
	pingMin     = 10 * time.Second
	pingAfter   = 2 * time.Minute
	pingTimeout = 20 * time.Second
)

// httpServer serves HTTP/1.1 and HTTP/2, over TLS or, with prior knowledge, in
// the clear.
func (s *Server) httpServer(l Listener, h http.Handler) *http.Server {
	o := &s.options
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		TLSConfig:         l.TLS,
		ReadHeaderTimeout: o.Limits.HeaderTimeout,
		IdleTimeout:       o.Limits.IdleTimeout,
		MaxHeaderBytes:    o.Limits.HeaderBytes,
		Protocols:         protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          int(o.Limits.Streams),
			MaxReadFrameSize:              frameBytes,
			MaxReceiveBufferPerConnection: min(connWindow+int(o.Limits.Streams)*streamWindow, connWindowMost),
			MaxReceiveBufferPerStream:     streamWindow,
		},
		// A handshake that failed is not the operator's trouble.
		ErrorLog: slog.NewLogLogger(o.Log.With("listener", l.Name).Handler(), slog.LevelDebug),
		// How far each connection is, for the drain.
		ConnContext: withConn,
		ConnState:   s.connState(l.Name),
		// `OPTIONS *` is a request like others, which those who look on see.
		DisableGeneralOptionsHandler: true,
	}
}

// innerOptions are for the server behind net/http, which does the framing.
func innerOptions(o *Options) []grpc.ServerOption {
	return []grpc.ServerOption{grpc.MaxRecvMsgSize(o.Limits.MessageBytes), grpc.WaitForHandlers(true), grpc.NumStreamWorkers(workerCount)}
}

// grpcOptions are for the server with connections of its own.
func grpcOptions(o *Options) []grpc.ServerOption {
	opts := append(innerOptions(o),
		grpc.MaxConcurrentStreams(o.Limits.Streams),
		grpc.MaxHeaderListSize(uint32(o.Limits.HeaderBytes)),
		grpc.ConnectionTimeout(o.Limits.HeaderTimeout),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connWindow),
		grpc.ReadBufferSize(readBuffer),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: o.Limits.IdleTimeout, Time: pingAfter, Timeout: pingTimeout,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingMin, PermitWithoutStream: true}),
	)
	creds := insecure.NewCredentials()
	if o.GRPC.TLS != nil {
		creds = credentials.NewTLS(o.GRPC.TLS)
	}
	return append(opts, grpc.Creds(knowing{creds}))
}
