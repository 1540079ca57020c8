package rest

import (
	"strings"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// typeNDJSON is the media type of JSON values in lines.
const typeNDJSON = "application/x-ndjson"

// messages are those of a body, one after the other. What next returns is good until
// the following call; io.EOF follows the last message.
type messages interface {
	next() ([]byte, error)
}

// recvNext reads one message of a stream of requests.
func (s *stream) recvNext(m *call.Message) error {
	if err := s.Body.BeginMessage(); err != nil {
		return err
	}
	defer s.Body.EndMessage()
	if s.upload == nil {
		s.upload = s.messages()
	}
	body, err := s.upload.next()
	if err = s.Body.EndWait(err); err != nil {
		return err
	}
	return s.translateNext(m, body)
}

// translateNext is translate for a message of many.
func (s *stream) translateNext(m *call.Message, body []byte) error {
	if err := s.Body.Hold(len(body)); err != nil {
		return err
	}
	defer func() { s.Body.Keep(m.Len()) }()
	return s.translate(m, body)
}

// messages are those of the request's body.
func (s *stream) messages() messages {
	if s.route.View.RawBody() {
		return &rawReader{src: s.R.Body, most: s.rawMost()}
	}
	return &frameReader{src: s.R.Body, limit: int(s.Settings.MaxBody), hold: s.Body.HoldPart}
}

// rawMost is how many bytes of a raw body one message may have, which leaves room for
// the fields of path and query.
func (s *stream) rawMost() int {
	most := min(rawMost, s.Settings.MaxBody)
	if limit := s.Settings.MaxMessage; limit > 0 {
		most = min(most, max(1, limit/2))
	}
	return int(most)
}

// contentType is the media type of one message. The messages of an NDJSON body are
// JSON, unless they pass unparsed.
func (s *stream) contentType() string {
	ct := s.R.Header.Get("Content-Type")
	if s.Method.Stream.ClientStreams && !s.route.View.RawBody() && isNDJSON(ct) {
		return edge.TypeJSON
	}
	return ct
}

// isNDJSON reports whether a media type is NDJSON, by any of its names: none of them is
// registered.
func isNDJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case typeNDJSON, "application/ndjson", "application/jsonl":
		return true
	}
	return false
}
