package certs

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc/credentials"
)

// ClientFiles are what the gateway presents and trusts where it is the client.
type ClientFiles struct {
	CA         string // the authorities of the server's certificate; "" for the system's
	Cert, Key  string // of the gateway; "" for none
	ServerName string // the name that the server's certificate must have; "" for the host that is dialled
}

// Client is TLS towards a server. It is safe for concurrent use.
type Client struct {
	store       *Store
	name        string
	pair        *source
	authorities *source
}

// Client reads the files. Release gives them up.
func (s *Store) Client(f ClientFiles) (*Client, error) {
	c := &Client{store: s, name: f.ServerName}
	var err error
	if f.CA != "" {
		if c.authorities, err = s.use([]string{f.CA}, readPool(f.CA)); err != nil {
			return nil, err
		}
	}
	if f.Cert != "" {
		if c.pair, err = s.use([]string{f.Cert, f.Key}, readPair(f.Cert, f.Key)); err != nil {
			c.Release()
			return nil, err
		}
	}
	return c, nil
}

// Release gives the files up: they are looked at no more, unless others use them.
// It is called once, when no connection is made any more.
func (c *Client) Release() {
	for _, f := range []*source{c.pair, c.authorities} {
		if f != nil {
			c.store.release(f)
		}
	}
}

// Config is for one handshake: what the files say now. It is not kept in place of
// one that follows them, since what crypto/tls can ask for later does not tell it
// which host was dialled where that is an address.
func (c *Client) Config() *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.name, RootCAs: c.authorities.now().pool}
	if pair := c.pair.now().pair; pair != nil {
		conf.Certificates = []tls.Certificate{*pair}
	}
	return conf
}

// Credentials are c for gRPC.
func (c *Client) Credentials() credentials.TransportCredentials {
	return following{TransportCredentials: credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}), client: c}
}

// following makes each handshake by what the files say. Its other half tells what
// does not depend on them.
type following struct {
	credentials.TransportCredentials
	client *Client
}

var _ credentials.TransportCredentials = following{}

// ClientHandshake secures a connection.
func (f following) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conf := f.client.Config()
	if conf.ServerName != "" {
		authority = conf.ServerName // to which grpc-go holds the server, whatever the configuration says
	}
	return credentials.NewTLS(conf).ClientHandshake(ctx, authority, raw)
}

// Clone is a copy.
func (f following) Clone() credentials.TransportCredentials { return f }
