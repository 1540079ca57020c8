// Package certs keeps certificates, keys and authorities that follow their
// files: what is presented and trusted in the next handshake is what the files
// say, with no word to whoever listens or dials. New contents that are wrong are
// refused, and the last good ones stay. Connections that stand are left alone.
//
// The files are looked at when [Store.Look] is called: by whoever follows all
// other files too, so that nothing runs here.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are the collaborators of a store.
type Options struct {
	Log *slog.Logger // is told of files that changed, and of those that cannot be used; nil: nobody is
	// Registerer gets, of each file of certificates,
	//
	//	gatehouse_certificate_expiry_timestamp_seconds{file}
	//	gatehouse_certificate_last_result{file}
	//
	// when the first of its certificates ends, in seconds of the Unix epoch, and
	// whether it could be used when it was last looked at (1) or not (0).
	Registerer prometheus.Registerer
}

// Store holds what the files say, each once, whoever uses it. It is safe for
// concurrent use.
type Store struct {
	log *slog.Logger

	mu    sync.Mutex
	files map[string]*source // by their paths
}

// source is a certificate with its key, or a list of authorities.
type source struct {
	paths []string
	users int
	read  func(data [][]byte) (*material, error)

	material *material
	sum      sum
	problem  string // "" if the files could be used when they were last looked at
}

// material is what is made of a source's files. It is immutable.
type material struct {
	pair *tls.Certificate // of a certificate with its key
	pool *x509.CertPool   // of authorities
	ends time.Time        // when the first of all certificates in it does
}

// New makes an empty store.
func New(o Options) (*Store, error) {
	s := &Store{log: o.Log, files: map[string]*source{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		return s, nil
	}
	return s, o.Registerer.Register(collector{s})
}

// Look reads the files anew that have changed. It returns what is wrong with
// those that cannot be used, all of it.
func (s *Store) Look() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		errs = append(errs, s.look(s.files[name]))
	}
	return errors.Join(errs...)
}

// State is how a certificate with its key, or a file of authorities, is.
type State struct {
	Files   []string  `json:"files"`
	Ends    time.Time `json:"ends"`              // when the first of the certificates in force does
	Problem string    `json:"problem,omitempty"` // why the files cannot be used, as they are now
}

// States lists all that are in use, by their files.
func (s *Store) States() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]State, 0, len(s.files))
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		f := s.files[name]
		states = append(states, State{Files: f.paths, Ends: f.material.ends, Problem: f.problem})
	}
	return states
}

// look logs what comes of it, a problem once. s.mu is held.
func (s *Store) look(f *source) error {
	changed, err := f.load()
	files := strings.Join(f.paths, ", ")
	switch {
	case err != nil:
		if f.problem != err.Error() {
			s.log.Error("a certificate cannot be used: the one before stays in force", "files", files, "error", err)
		}
		f.problem = err.Error()
	case changed || f.problem != "":
		f.problem = ""
		s.log.Info("a certificate was read anew", "files", files, "ends", f.material.ends)
	}
	return err
}

// load reads the files if they are others than before.
func (f *source) load() (changed bool, _ error) {
	data := make([][]byte, len(f.paths))
	for i, path := range f.paths {
		var err error
		if data[i], err = os.ReadFile(path); err != nil {
			return false, fmt.Errorf("tls: %w", err)
		}
	}
	now := sumOf(data)
	if f.material != nil && now == f.sum {
		return false, nil
	}
	m, err := f.read(data)
	if err != nil {
		return false, fmt.Errorf("tls: %w", err)
	}
	f.material, f.sum = m, now
	return true, nil
}

// use finds a source or reads it for the first time. release gives it back.
func (s *Store) use(paths []string, read func([][]byte) (*material, error)) (*source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.Join(paths, "\x00")
	f := s.files[name]
	if f == nil {
		f = &source{paths: paths, read: read}
		if _, err := f.load(); err != nil {
			return nil, err
		}
		s.files[name] = f
	}
	f.users++
	return f, nil
}

func (s *Store) release(f *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.users--; f.users == 0 {
		delete(s.files, strings.Join(f.paths, "\x00"))
	}
}

// now is what the source says.
func (s *Store) now(f *source) *material {
	if f == nil {
		return new(material)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.material
}
