package certs

import (
	"crypto/tls"
	"sync/atomic"
)

// ServerFiles are what a listener needs.
type ServerFiles struct {
	Cert, Key string
	ClientCA  string // the authorities of client certificates; "" asks for none
	// MinVersion is the oldest version of TLS taken, such as tls.VersionTLS12.
	MinVersion uint16
	// Protocols are those of ALPN, the best first.
	Protocols []string
}

// Server makes the configuration of a listener, for as long as the process lives.
// Each handshake goes by what the files say when it begins. With authorities
// every client must show a certificate of theirs; a session is resumed only if
// they are still trusted (crypto/tls sees to that).
func (s *Store) Server(f ServerFiles) (*tls.Config, error) {
	pair, err := s.use([]string{f.Cert, f.Key}, readPair(f.Cert, f.Key))
	if err != nil {
		return nil, err
	}
	var authorities *source
	if f.ClientCA != "" {
		if authorities, err = s.use([]string{f.ClientCA}, readPool(f.ClientCA)); err != nil {
			s.release(pair)
			return nil, err
		}
	}
	l := &listener{files: f, pair: pair, authorities: authorities}
	return &tls.Config{MinVersion: f.MinVersion, NextProtos: f.Protocols, GetConfigForClient: l.config}, nil
}

// listener makes a configuration once for each change.
type listener struct {
	files             ServerFiles
	pair, authorities *source
	made              atomic.Pointer[made]
}

// made is a configuration, and what of.
type made struct {
	pair, authorities *material
	config            *tls.Config
}

func (l *listener) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	pair, authorities := l.pair.now(), l.authorities.now()
	if m := l.made.Load(); m != nil && m.pair == pair && (l.authorities == nil || m.authorities == authorities) {
		return m.config, nil
	}
	conf := &tls.Config{
		Certificates: []tls.Certificate{*pair.pair}, MinVersion: l.files.MinVersion, NextProtos: l.files.Protocols,
	}
	if authorities.pool != nil {
		conf.ClientCAs, conf.ClientAuth = authorities.pool, tls.RequireAndVerifyClientCert
	}
	l.made.Store(&made{pair, authorities, conf})
	return conf, nil
}
