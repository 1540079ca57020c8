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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/collect"
	"github.com/gatehouse-dev/gatehouse/internal/files"
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
	// Read reads a file; nil is [files.Read].
	Read func(path string) ([]byte, error)
}

// Store holds what the files say, each once, whoever uses it. It is safe for
// concurrent use.
type Store struct {
	log  *slog.Logger
	read func(path string) ([]byte, error)

	// reading is held while files are read, which may take long on a network.
	// Taken before mu.
	reading sync.Mutex
	mu      sync.Mutex
	files   map[string]*source // by their paths; guarded by mu
}

// source is a certificate with its key, or a list of authorities.
type source struct {
	paths []string
	read  func(data [][]byte) (*material, error)

	material atomic.Pointer[material] // handshakes take no lock for it
	sum      sum                      // guarded by Store.reading

	users   int    // guarded by Store.mu
	problem string // "" if the files could be used when they were last looked at; guarded by Store.mu
}

// material is what is made of a source's files. It is immutable.
type material struct {
	pair *tls.Certificate // of a certificate with its key
	pool *x509.CertPool   // of authorities
	ends time.Time        // when the first of all certificates in it does
}

// New makes an empty store.
func New(o Options) (*Store, error) {
	s := &Store{log: o.Log, read: o.Read, files: map[string]*source{}}
	if s.read == nil {
		s.read = func(path string) ([]byte, error) { return files.Read(path, files.MaxBytes) }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, collect.Register(o.Registerer, collector{s})
}

// Look reads the files anew that have changed. It returns what is wrong with
// those that cannot be used, all of it.
func (s *Store) Look() error {
	s.reading.Lock()
	defer s.reading.Unlock()
	var errs []error
	for _, f := range s.sources() {
		errs = append(errs, s.look(f))
	}
	return errors.Join(errs...)
}

// sources lists what is in use, by the files.
func (s *Store) sources() []*source {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*source, 0, len(s.files))
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		list = append(list, s.files[name])
	}
	return list
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
		states = append(states, State{Files: f.paths, Ends: f.material.Load().ends, Problem: f.problem})
	}
	return states
}

// look logs what comes of it, a problem once. s.reading is held.
func (s *Store) look(f *source) error {
	changed, err := f.load(s.read)
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	s.mu.Lock()
	before := f.problem
	f.problem = problem
	s.mu.Unlock()
	files := strings.Join(f.paths, ", ")
	switch {
	case err != nil && problem != before:
		s.log.Error("a certificate cannot be used: the one before stays in force", "files", files, "error", err)
	case err == nil && (changed || before != ""):
		s.log.Info("a certificate was read anew", "files", files, "ends", f.material.Load().ends)
	}
	return err
}

// load reads the files if they are others than before. Store.reading is held.
func (f *source) load(readFile func(string) ([]byte, error)) (changed bool, _ error) {
	data := make([][]byte, len(f.paths))
	for i, path := range f.paths {
		var err error
		if data[i], err = readFile(path); err != nil {
			return false, fmt.Errorf("tls: %w", err)
		}
	}
	now := sumOf(data)
	if f.material.Load() != nil && now == f.sum {
		return false, nil
	}
	m, err := f.read(data)
	if err != nil {
		return false, fmt.Errorf("tls: %w", err)
	}
	f.material.Store(m)
	f.sum = now
	return true, nil
}

// use finds a source or reads it for the first time. release gives it back.
func (s *Store) use(paths []string, read func([][]byte) (*material, error)) (*source, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	name := strings.Join(paths, "\x00")
	if f := s.known(name); f != nil {
		return f, nil
	}
	f := &source{paths: paths, read: read, users: 1}
	if _, err := f.load(s.read); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = f
	return f, nil
}

// known counts one more user of a source; nil if nobody uses it yet.
func (s *Store) known(name string) *source {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[name]
	if f != nil {
		f.users++
	}
	return f
}

func (s *Store) release(f *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.users--; f.users == 0 {
		delete(s.files, strings.Join(f.paths, "\x00"))
	}
}

// now is what the source says.
func (f *source) now() *material {
	if f == nil {
		return new(material)
	}
	return f.material.Load()
}
