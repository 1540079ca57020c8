package upstream

import (
	"cmp"
	"context"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// authority is what backends are told they are called, "" for what the target
// says.
func authority(o Options) string {
	if o.Credentials == nil {
		return o.Authority
	}
	return cmp.Or(o.Authority, o.ServerName)
}

// transport is what connections are made with.
func transport(o Options) credentials.TransportCredentials {
	switch {
	case o.Credentials == nil:
		return insecure.NewCredentials()
	case o.ServerName == "":
		return o.Credentials
	default:
		return oneName{o.Credentials, o.ServerName}
	}
}

// oneName holds every replica to one name. grpc-go asks for that of the address,
// or for the authority, whatever the configuration of TLS says.
type oneName struct {
	credentials.TransportCredentials

	name string
}

// ClientHandshake begins TLS.
func (c oneName) ClientHandshake(ctx context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.TransportCredentials.ClientHandshake(ctx, c.name, conn)
}

// Clone makes a copy.
func (c oneName) Clone() credentials.TransportCredentials {
	return oneName{c.TransportCredentials.Clone(), c.name}
}
