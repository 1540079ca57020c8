// Package config reads the configuration: YAML whose schema is
// gatehouse.config.v1.Config, strictly, with file, line, column and field in
// every error. It also answers what the configuration says about one RPC: which
// exposure serves it ([File.Exposure]), and under which policy ([Merger.Policy]).
//
// YAML is decoded here and not by protoyaml, which reads text only:
// substitutions must be made in the nodes, so that they can neither shift
// positions nor add structure, and errors are to be the user's, several at
// once, with the names that would be right.
package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/proto"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/files"
)

// maxFileBytes bounds the file; ten thousand exposures take a tenth of it.
const maxFileBytes = 8 << 20

// File is a configuration that was read, checked, and completed with the
// defaults. It is immutable and safe for concurrent use.
type File struct {
	// Name is the file's path as given; "" if there is no file.
	Name string
	// Config has every default filled in, and the paths of files in it are
	// relative to the working folder.
	Config *configv1.Config
	// SHA256 is that of the file's bytes in hexadecimal, "" if there is no file.
	SHA256 string

	positions map[string]Position // by field path; nil without a file
	written   map[string]string   // texts as in the file, where substituted
	secrets   bool                // shows them
	files     []string            // of substitutions
}

// Load reads a configuration file. See [Parse].
func Load(path string) (*File, error) {
	f, _, err := Read(path)
	return f, err
}

// Read is Load that also tells which files it read or should have read for it,
// after an error too: when one of them has changed, the outcome may be another.
func Read(path string) (_ *File, files []string, _ error) {
	data, err := readFile(path, "configuration")
	if err != nil {
		return nil, []string{path}, err
	}
	f, files, err := parse(path, data)
	return f, append(files, path), err
}

// readFile reads a file of YAML; what names it in errors.
func readFile(path, what string) ([]byte, error) {
	data, err := files.Read(path, maxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot read the %s: %w", path, what, unwrapPath(err))
	}
	return data, nil
}

// Parse reads a configuration. name stands in errors, and its folder is where
// relative paths in the configuration begin.
//
// In string values ${NAME} stands for an environment variable and ${file:PATH}
// for the contents of a file, without the newline at its end; $${ is a plain
// ${. Neither may be missing.
//
// The error, if any, is an [Errors].
func Parse(name string, data []byte) (*File, error) {
	f, _, err := parse(name, data)
	return f, err
}

func parse(name string, data []byte) (_ *File, files []string, _ error) {
	d := &decoder{
		name:      name,
		positions: map[string]Position{},
		written:   map[string]string{},
		empty:     "the configuration is empty; it needs at least upstreams and expose",
	}
	config := new(configv1.Config)
	if root := d.document(data); root != nil {
		d.message(root, config.ProtoReflect(), "", 0)
	}
	f := &File{
		Name: name, Config: config, SHA256: fmt.Sprintf("%x", sha256.Sum256(data)),
		positions: d.positions, written: d.written, files: d.files,
	}
	if len(d.errors) > 0 {
		return nil, d.files, d.errors.sorted()
	}
	resolvePaths(config, filepath.Dir(name))
	complete(config)
	if errs := f.check(); len(errs) > 0 {
		return nil, f.Files(), errs.sorted()
	}
	return f, d.files, nil
}

// Files are those of which the table is made: the configuration, what it
// substitutes, contracts, files of HTTP rules and the OpenAPI document. Certificates and the files of
// authenticators are not among them; whoever uses those follows them.
func (f *File) Files() []string {
	all := slices.Clone(f.files)
	if f.SHA256 != "" {
		all = append(all, f.Name)
	}
	for _, u := range f.Config.GetUpstreams() {
		if image := u.GetSchema().GetImage(); image != "" {
			all = append(all, image)
		}
	}
	for _, e := range f.Config.GetExpose() {
		all = append(all, e.GetHttpFile()...)
	}
	if doc := f.Config.GetOpenapi().GetFile(); doc != "" {
		all = append(all, doc)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// New checks and completes a configuration that was made by a program. Errors
// name fields, and no positions.
func New(config *configv1.Config) (*File, error) {
	f := &File{Config: proto.CloneOf(config)}
	complete(f.Config)
	if errs := f.check(); len(errs) > 0 {
		return nil, errs.sorted()
	}
	return f, nil
}

// With returns the configuration with a change, such as flags make, checked
// anew. f stays as it is.
func (f *File) With(change func(*configv1.Config)) (*File, error) {
	changed := *f
	changed.Config = proto.CloneOf(f.Config)
	change(changed.Config)
	complete(changed.Config)
	if errs := changed.check(); len(errs) > 0 {
		return nil, errs.sorted()
	}
	return &changed, nil
}

// Errorf makes an error about the field at path, as in
// "upstreams[0].schema.image", for mistakes that only show when the gateway is
// built. The field need not be set.
func (f *File) Errorf(path, format string, args ...any) error {
	return Errors{f.problem(path, format, args...)}
}

func (f *File) problem(path, format string, args ...any) *Error {
	return &Error{Position: f.Position(path), Path: path, Text: fmt.Sprintf(format, args...)}
}

// Position is where the field at path is written or, if it is not, what it
// would be written in.
func (f *File) Position(path string) Position {
	for {
		if p, ok := f.positions[path]; ok {
			return p
		}
		if path == "" {
			return Position{File: f.Name}
		}
		path = parentPath(path)
	}
}

// unwrapPath drops the path from an error that is told with the path before
// it.
func unwrapPath(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}
