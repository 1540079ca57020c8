package live

import (
	"crypto/tls"

	"google.golang.org/grpc/credentials"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/certs"
)

// clientTLS is nil for an upstream in the clear.
func clientTLS(store *certs.Store, t *configv1.UpstreamTls) (*certs.Client, error) {
	if t == nil {
		return nil, nil // nil is the meaning: no TLS
	}
	return store.Client(certs.ClientFiles{CA: t.GetCaFile(), Cert: t.GetCertFile(), Key: t.GetKeyFile(), ServerName: t.GetServerName()})
}

// credentialsOf is nil for connections in the clear.
func credentialsOf(c *certs.Client) credentials.TransportCredentials {
	if c == nil {
		return nil
	}
	return c.Credentials()
}

func serverTLS(store *certs.Store, t *configv1.ServerTls, protocols []string) (*tls.Config, error) {
	if t == nil {
		return nil, nil // nil is the meaning: no TLS
	}
	minVersion := uint16(tls.VersionTLS12)
	if t.GetMinVersion() == configv1.ServerTls_VERSION_1_3 {
		minVersion = tls.VersionTLS13
	}
	return store.Server(certs.ServerFiles{
		Cert: t.GetCertFile(), Key: t.GetKeyFile(), ClientCA: t.GetClientCaFile(), MinVersion: minVersion, Protocols: protocols,
	})
}
