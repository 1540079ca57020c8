package openapi

import (
	"crypto/sha256"
	"fmt"
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

// Documents are the documents of one source. Each is made when it is first asked for,
// and once. It is safe for concurrent use.
type Documents struct {
	source *Source
	mu     sync.Mutex
	texts  map[string]*Written
}

// NewDocuments returns the documents of a source.
func NewDocuments(s *Source) *Documents {
	return &Documents{source: s, texts: map[string]*Written{}}
}

// Source is what the documents are made of.
func (d *Documents) Source() *Source {
	if d.source.Scratch != nil {
		return d.source.Scratch()
	}
	return d.source
}

// Write returns the document of a version ("" for all of them). It fails where there is
// no such version.
func (d *Documents) Write(version string, format Format) (*Written, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := string(format) + " " + version
	if text := d.texts[key]; text != nil {
		return text, nil
	}
	doc, err := d.Source().Document(version)
	if err != nil {
		return nil, err
	}
	text, err := doc.Write(format)
	if err != nil {
		return nil, err
	}
	d.texts[key] = &Written{Text: text, ETag: fmt.Sprintf(`"%x"`, sha256.Sum256(text))[:34] + `"`}
	return d.texts[key], nil
}

// Write writes the document in a format.
func (d *Document) Write(format Format) ([]byte, error) {
	if format == YAML {
		return d.YAML()
	}
	return d.JSON()
}
