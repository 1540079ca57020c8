package openapi

import (
	"crypto/sha256"
	"fmt"
	"runtime/debug"
	"sync"
)

// Format is how a document is written.
type Format string

// The formats.
const (
	JSON Format = "json"
	YAML Format = "yaml"
)

// MediaType is the media type of documents in the format.
func (f Format) MediaType() string {
	if f == YAML {
		return "application/yaml"
	}
	return mediaJSON
}

// Written is a document in a format. It is shared: read it only.
type Written struct {
	Text []byte
	// ETag tells documents apart, as HTTP has it.
	ETag string
}

// Documents are the documents of one source. Each is made once, when it is first asked
// for. It is safe for concurrent use.
type Documents struct {
	source *Source
	mu     sync.Mutex
	made   map[string]*entry // by format and version: as many as there are of both
	making sync.Mutex        // one at a time: each takes much memory while it is made
}

// entry is one document. Those who ask for one that is made do not wait for another.
type entry struct {
	once    sync.Once
	written *Written
	err     error
}

// NewDocuments returns the documents of a source.
func NewDocuments(s *Source) *Documents {
	return &Documents{source: s, made: map[string]*entry{}}
}

// Source is what the documents are made of.
func (d *Documents) Source() *Source {
	if d.source.Scratch != nil {
		return d.source.Scratch()
	}
	return d.source
}

// Versions are those that have a document of their own, in the order of the
// configuration.
func (d *Documents) Versions() []string { return d.source.Versions() }

// Write returns the document of a version ("" for all of them). It fails where there is
// no such version, and makes nothing then: anybody may ask.
func (d *Documents) Write(version string, format Format) (*Written, error) {
	if err := d.source.checkVersion(version); err != nil {
		return nil, err
	}
	e := d.entry(string(format) + " " + version)
	e.once.Do(func() { e.written, e.err = d.write(version, format) })
	return e.written, e.err
}

// Warnings are those of the document of all versions.
func (d *Documents) Warnings() ([]string, error) {
	source := d.Source()
	if len(findAnnotations(withImports(filesOf(source.Methods)))) == 0 {
		return nil, nil // and the document need not be made
	}
	doc, err := source.Document("")
	if err != nil {
		return nil, err
	}
	return doc.Warnings(), nil
}

func (d *Documents) entry(key string) *entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.made[key]
	if e == nil {
		e = new(entry)
		d.made[key] = e
	}
	return e
}

func (d *Documents) write(version string, format Format) (*Written, error) {
	d.making.Lock()
	defer d.making.Unlock()
	defer debug.FreeOSMemory() // anybody may ask, and the descriptors of all RPCs were made anew
	doc, err := d.Source().Document(version)
	if err != nil {
		return nil, err
	}
	text, err := doc.Write(format)
	if err != nil {
		return nil, err
	}
	return &Written{Text: text, ETag: fmt.Sprintf(`"%x"`, sha256.Sum256(text))[:34] + `"`}, nil
}

// Write writes the document in a format.
func (d *Document) Write(format Format) ([]byte, error) {
	if format == YAML {
		return d.YAML()
	}
	return d.JSON()
}
