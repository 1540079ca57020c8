package connect

import (
	"encoding/base64"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// Media types.
const (
	typeWeb     = "application/grpc-web"
	typeGRPC    = "application/grpc+json"
	typeConnect = "application/connect+" // and the codec
	typeUnary   = "application/"         // and the codec
)

// The codecs.
const (
	codecProto = "proto"
	codecJSON  = "json"
)

// Parameters of a unary call by GET.
const (
	paramMessage     = "message"
	paramEncoding    = "encoding"
	paramBase64      = "base64"
	paramCompression = "compression"
	paramVersion     = "connect"
)

// dialect is which of the protocols a request speaks, by its head.
type dialect struct {
	web       bool       // gRPC-Web
	textIn    bool       // the request is in the text form of gRPC-Web
	textOut   bool       // so is the answer
	grpc      bool       // gRPC
	enveloped bool       // messages stand in envelopes: all but Connect's unary calls
	codec     string     // of messages, as the client names it
	json      bool       // codec is JSON
	query     url.Values // of a unary call by GET; nil for POST
}

// dialectOf reads the head of a request that takes has taken.
func dialectOf(r *http.Request) (d dialect) {
	if r.Method == http.MethodGet {
		d.query = r.URL.Query()
		d.codec = d.query.Get(paramEncoding)
		d.json = d.codec == codecJSON
		return d
	}
	media := mediaType(r)
	if codec, text, ok := webCodec(media); ok {
		d.web, d.enveloped, d.codec = true, true, codec
		d.textIn, d.textOut = text, wantsText(r, text)
	} else if media == typeGRPC {
		d.grpc, d.enveloped, d.codec = true, true, codecJSON
	} else if codec, ok := strings.CutPrefix(media, typeConnect); ok {
		d.enveloped, d.codec = true, codec
	} else {
		d.codec = strings.TrimPrefix(media, typeUnary)
	}
	d.json = d.codec == codecJSON
	return d
}

// mediaType is the media type of a request's body. A charset of UTF-8 is no part of it,
// for messages have no other.
func mediaType(r *http.Request) string {
	ct := r.Header.Get("Content-Type")
	if !strings.ContainsAny(ct, "; \tABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return ct
	}
	media, params, err := mime.ParseMediaType(ct)
	if err != nil {
		return ct
	}
	if charset, ok := params["charset"]; ok && strings.EqualFold(charset, "utf-8") {
		delete(params, "charset")
	}
	return mime.FormatMediaType(media, params)
}

// webCodec is the codec of gRPC-Web's media types, in the text form or not.
func webCodec(media string) (codec string, text, ok bool) {
	rest, ok := strings.CutPrefix(media, typeWeb)
	if !ok {
		return "", false, false
	}
	rest, text = strings.CutPrefix(rest, textSuffix)
	switch {
	case rest == "":
		return codecProto, text, true
	case rest[0] == '+':
		return rest[1:], text, true
	}
	return "", false, false
}

// takes reports whether a request is of one of the protocols. Their unary calls look
// like those of REST: at a path that is a binding and an RPC's own, a request must say
// that it is Connect's.
func takes(table *edge.Table, r *http.Request) bool {
	switch r.Method {
	case http.MethodPost:
		media := mediaType(r)
		if _, _, ok := webCodec(media); ok || media == typeGRPC && r.ProtoMajor >= 2 || strings.HasPrefix(media, typeConnect) {
			return true
		}
		return (media == typeUnary+codecJSON || media == typeUnary+codecProto) && isUnary(table, r)
	case http.MethodGet:
		return strings.Contains(r.URL.RawQuery, paramEncoding+"=") && isUnary(table, r)
	case http.MethodOptions:
		return false
	}
	return saysConnect(r) && isUnary(table, r)
}

// saysConnect reports whether a request says of itself that it is Connect's.
func saysConnect(r *http.Request) bool { return len(r.Header["Connect-Protocol-Version"]) > 0 }

func isUnary(table *edge.Table, r *http.Request) bool {
	known, says := table.Method(r.URL.Path) != nil, saysConnect(r)
	if known == says {
		return known
	}
	var m edge.Match
	return table.Routes.Match(r.Method, edge.SentPath(r.URL), &m.Match) != nil
}

// protocol is the one that logs and metrics name.
func (d *dialect) protocol() call.Protocol {
	switch {
	case d.web:
		return GRPCWeb
	case d.grpc:
		return GRPC
	}
	return Connect
}

// check refuses a request that is not one of the method's in its protocol.
func (d *dialect) check(r *http.Request, m *call.Method) error {
	byGET := m.Unary() && m.HasNoSideEffects()
	if r.Method != http.MethodPost && (d.query == nil || !byGET) {
		allow := http.MethodPost
		if byGET {
			allow = http.MethodGet + ", " + allow
		}
		return edge.RefuseMethod(r.Method, r.URL.Path, allow)
	}
	if d.codec != codecProto && !d.json || !d.isGRPC() && d.enveloped == m.Unary() {
		return refuseMedia(m)
	}
	if err := d.checkVersion(r); err != nil {
		return err
	}
	if name := d.compression(r); name != "" && compressorOf(name) == nil {
		return call.Refuse(call.Client, codes.Unimplemented, "compression %q is not supported: use one of %s", name, compressionNames)
	}
	if d.query != nil {
		return d.checkQuery(r)
	}
	return nil
}

// isGRPC reports whether all RPCs have the same media type, as in gRPC's protocols.
func (d *dialect) isGRPC() bool { return d.web || d.grpc }

// refuseMedia refuses a media type, and tells which ones the method has.
func refuseMedia(m *call.Method) error {
	prefix := typeConnect
	if m.Unary() {
		prefix = typeUnary
	}
	return edge.RefuseHTTP(http.StatusUnsupportedMediaType, codes.Unimplemented, "the media type is not supported: use %s%s, %s%s, %s+%s or %s+%s",
		prefix, codecProto, prefix, codecJSON, typeWeb, codecProto, typeWeb, codecJSON)
}

// checkVersion refuses other versions of Connect than the one that is served.
func (d *dialect) checkVersion(r *http.Request) error {
	if d.isGRPC() {
		return nil
	}
	if v := r.Header.Get("Connect-Protocol-Version"); v != "" && v != "1" {
		return call.Refuse(call.Client, codes.InvalidArgument, `header connect-protocol-version: %q is not supported: want "1"`, v)
	}
	if v := d.query.Get(paramVersion); v != "" && v != "v1" {
		return call.Refuse(call.Client, codes.InvalidArgument, `query parameter %s: %q is not supported: want "v1"`, paramVersion, v)
	}
	return nil
}

// checkQuery refuses a GET that has no message, or a body.
func (d *dialect) checkQuery(r *http.Request) error {
	if !d.query.Has(paramMessage) {
		return call.Refuse(call.Client, codes.InvalidArgument, "query parameter %s is missing", paramMessage)
	}
	if r.ContentLength > 0 {
		return edge.RefuseHTTP(http.StatusUnsupportedMediaType, codes.InvalidArgument, "a request by GET has no body")
	}
	return nil
}

// message is the request of a call by GET.
func (d *dialect) message() ([]byte, error) {
	text := d.query.Get(paramMessage)
	if d.query.Get(paramBase64) != "1" {
		return []byte(text), nil
	}
	message, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, call.Refuse(call.Client, codes.InvalidArgument, "query parameter %s is not base64 for URLs", paramMessage)
	}
	return message, nil
}

// compression is that of the request's messages, "" for none.
func (d *dialect) compression(r *http.Request) string {
	var name string
	switch {
	case d.query != nil:
		name = d.query.Get(paramCompression)
	case d.isGRPC():
		name = r.Header.Get("Grpc-Encoding")
	case d.enveloped:
		name = r.Header.Get("Connect-Content-Encoding")
	default:
		name = r.Header.Get("Content-Encoding")
	}
	if name == identity {
		return ""
	}
	return name
}

// acceptHeader is the header that lists compressions.
func (d *dialect) acceptHeader() string {
	switch {
	case d.isGRPC():
		return "Grpc-Accept-Encoding"
	case d.enveloped:
		return "Connect-Accept-Encoding"
	default:
		return "Accept-Encoding"
	}
}

// contentType is what the library knows the dialect by.
func (d *dialect) contentType() string {
	switch {
	case d.web:
		return typeWeb + "+" + d.codec
	case d.grpc:
		return typeGRPC
	case d.enveloped:
		return typeConnect + d.codec
	default:
		return typeUnary + d.codec
	}
}

// request is the request as the library gets it: by POST over HTTP/2, and with messages
// that are not compressed, which source takes care of. The answers' compression is that
// of the request, or the first of those that the client accepts.
func (s *stream) request() *http.Request {
	r := s.errorRequest()
	accept := s.R.Header[s.acceptHeader()]
	if name := s.compression(s.R); name != "" {
		accept = append([]string{name}, accept...)
	}
	if len(accept) > 0 {
		r.Header[s.acceptHeader()] = []string{strings.Join(accept, ",")}
	}
	r.Body, r.ContentLength = &s.in, -1
	return r
}

// errorRequest is the request as far as its errors need it.
func (s *stream) errorRequest() *http.Request {
	return &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: s.R.URL.Path}, Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: http.Header{"Content-Type": {s.contentType()}}, Host: s.R.Host, RemoteAddr: s.R.RemoteAddr, Body: http.NoBody,
	}
}
