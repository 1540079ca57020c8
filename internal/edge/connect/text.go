package connect

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// textSuffix makes a media type of gRPC-Web that of its text form: the body is base64.
const textSuffix = "-text"

// wantsText reports whether the answer is to be in the text form: Accept decides, and
// where it names no form of gRPC-Web, the request's form.
func wantsText(r *http.Request, textIn bool) bool {
	accept := strings.Join(r.Header["Accept"], ",")
	switch {
	case strings.Contains(accept, typeWeb+textSuffix):
		return true
	case strings.Contains(accept, typeWeb):
		return false
	}
	return textIn
}

// nameText names the text form as the answer's.
func nameText(h http.Header) {
	if v := h["Content-Type"]; len(v) > 0 {
		if codec, ok := strings.CutPrefix(v[0], typeWeb); ok {
			h["Content-Type"] = []string{typeWeb + textSuffix + codec}
		}
	}
}

// decodeText has the request's body read as what its base64 stands for.
func (s *stream) decodeText() {
	s.R.Body = &textReader{ReadCloser: s.R.Body}
	if n := s.R.ContentLength; n > 0 {
		s.R.ContentLength = n/textQuantum*bytesOfQuantum + bytesOfQuantum
	}
}

// textReader decodes base64 that is written in pieces, each of which may have padding: it
// may stand in the middle of a body.
type textReader struct {
	io.ReadCloser
	quantum [textQuantum]byte // of base64, of which some has come
	have    int
	out     []byte // decoded, and not read yet
	buf     [bytesOfQuantum * textPiece]byte
	in      [textQuantum * (textPiece - 1)]byte // with what was there it fills buf
	err     error
}

// Base64 writes three bytes as four characters.
const (
	textQuantum    = 4
	bytesOfQuantum = 3
	textPiece      = 256 // quanta that are read at once
)

// Read decodes what has come. It does not wait for more than it needs.
func (r *textReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.out) == 0 && r.err == nil {
		r.fill()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	if n == 0 {
		return 0, r.err
	}
	return n, nil
}

func (r *textReader) fill() {
	n, err := r.ReadCloser.Read(r.in[:])
	r.err = err
	r.out = r.buf[:0]
	for _, c := range r.in[:n] {
		if c == '\n' || c == '\r' { // package base64 skips them: a body of them would have no end
			r.err = errNotText
			return
		}
		r.quantum[r.have] = c
		if r.have++; r.have < textQuantum {
			continue
		}
		r.have = 0
		var decoded [bytesOfQuantum]byte
		m, bad := base64.StdEncoding.Decode(decoded[:], r.quantum[:])
		if bad != nil {
			r.err = errNotText
			return
		}
		r.out = append(r.out, decoded[:m]...)
	}
	if errors.Is(r.err, io.EOF) && r.have > 0 {
		r.err = errNotText
	}
}

// errNotText refuses a body that is not base64.
var errNotText = call.Refuse(call.Client, codes.InvalidArgument, "the body is not base64, as %s says", typeWeb+textSuffix)

// text is a part of the answer in the text form. Each part has its own padding, so that
// the client can decode it at once.
func text(b []byte) []byte {
	return base64.StdEncoding.AppendEncode(make([]byte, 0, base64.StdEncoding.EncodedLen(len(b))), b)
}
