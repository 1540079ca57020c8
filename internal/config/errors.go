package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxErrors bounds how many errors are told at once; who has more should mend
// some first.
const maxErrors = 25

// Position is a place in a file. Lines and columns count from 1, columns in
// characters; 0 means unknown.
type Position struct {
	File         string
	Line, Column int
}

// String is file:line:column, as editors and terminals understand it.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.File == "":
		return fmt.Sprintf("%d:%d", p.Line, p.Column)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
}

// Error is one mistake in a configuration.
type Error struct {
	Position Position
	// Path is the field, as in "upstreams[0].target"; "" for the whole.
	Path string
	// Text says what is wrong and what would be right.
	Text string
}

// Error gives position, path and text.
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	for _, part := range []string{e.Position.String(), e.Path, e.Text} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Errors are the mistakes in one configuration, in the order of their
// positions.
type Errors []*Error

var _ error = Errors(nil)

// Error gives one error a line.
func (e Errors) Error() string {
	var b strings.Builder
	for i, err := range e {
		if i == maxErrors {
			fmt.Fprintf(&b, "\nand %d more", len(e)-maxErrors)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(err.Error())
	}
	return b.String()
}

// Unwrap gives the errors one by one to package errors.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, err := range e {
		list[i] = err
	}
	return list
}

func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Position.Line, b.Position.Line), cmp.Compare(a.Position.Column, b.Position.Column),
			cmp.Compare(a.Path, b.Path))
	})
	return e
}

// parentPath is the path without its last step.
func parentPath(path string) string {
	if i := strings.LastIndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return ""
}

// entryPath is the path of an entry of a map.
func entryPath(path, key string) string { return path + "[" + strconv.Quote(key) + "]" }

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// Flatten lists the errors that were joined in err, one by one; none for nil.
func Flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, Flatten(one)...)
	}
	return all
}

// Messages are the texts of the mistakes in err, one each.
func Messages(err error) []string {
	var all []string
	for _, one := range Flatten(err) {
		list, ok := errors.AsType[Errors](one)
		if !ok {
			all = append(all, one.Error())
		}
		for _, mistake := range list {
			all = append(all, mistake.Error())
		}
	}
	return all
}
