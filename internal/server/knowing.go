package server

import (
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// knowing are credentials by which a call on grpc-go's server learns of its
// connection: as a part of the peer's AuthInfo. grpc-go has no other way that
// costs a call nothing.
type knowing struct {
	credentials.TransportCredentials
}

// ServerHandshake does that of the credentials below.
func (k knowing) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure, info, err := k.TransportCredentials.ServerHandshake(raw)
	if known := unwrap(raw); err == nil && known != nil {
		info = AuthInfo{info, &known.memory}
	}
	return secure, info, err
}

// Clone copies the credentials.
func (k knowing) Clone() credentials.TransportCredentials {
	return knowing{k.TransportCredentials.Clone()}
}

// AuthInfo is that of the credentials below, with the connection.
type AuthInfo struct {
	credentials.AuthInfo

	connection *memory.Connection
}

// Connection is the client's.
func (a AuthInfo) Connection() *memory.Connection { return a.connection }

// Unwrap is the AuthInfo of the credentials below.
func (a AuthInfo) Unwrap() credentials.AuthInfo { return a.AuthInfo }
