package edge

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// upload is the body of a stream of requests, which one goroutine reads while another
// writes the answer. The zero value is ready.
type upload struct {
	reading sync.Mutex  // held while a message is read
	begun   bool        // guarded by reading
	over    atomic.Bool // no read may begin any more
}

// BeginUpload is called before the call is carried whose client sends a stream of
// requests. EndUpload must follow before the handler returns.
func (b *Body) BeginUpload() {
	if b.half.R.ProtoMajor < 2 {
		// An answer that comes before the upload has ended leaves net/http reading the
		// body, so the connection can carry no other request.
		b.half.W.Header()["Connection"] = headerClose
	}
}

// BeginMessage begins to read the next message of a stream of requests, and gives up what
// was held for the last one, which has been sent. EndMessage must follow, unless it fails.
func (b *Body) BeginMessage() error {
	u := &b.upload
	u.reading.Lock()
	if !u.begun {
		u.begun = true
		// By default an HTTP/1 server closes the upload with the first byte of the answer.
		rc := http.NewResponseController(b.half.W)
		_ = rc.EnableFullDuplex()
		_ = rc.SetReadDeadline(time.Time{}) // a stream may pause
	}
	if u.over.Load() { // checked last: the deadline that EndUpload sets must stay
		u.reading.Unlock()
		return call.Refuse(call.Client, codes.Canceled, "the call is over")
	}
	b.Keep(0)
	return nil
}

// EndMessage ends what BeginMessage began.
func (b *Body) EndMessage() { b.upload.reading.Unlock() }

// EndUpload waits until no goroutine reads the body: the request must not be used after
// the handler has returned. A deadline in the past ends a read that is under way.
func (b *Body) EndUpload() {
	u := &b.upload
	u.over.Store(true)
	if u.reading.TryLock() {
		u.reading.Unlock()
		return
	}
	_ = http.NewResponseController(b.half.W).SetReadDeadline(time.Unix(1, 0)) // not every writer can; then the body ends with the client
	u.reading.Lock()
	u.reading.Unlock() //nolint:staticcheck // taken to wait, not to guard
}

// Err implements [call.Lifetime]: the transcoder stops when the client has gone or the
// deadline has passed.
func (h *HTTPHalf) Err() error {
	switch err := h.ctx.Err(); {
	case errors.Is(err, context.Canceled):
		return call.Refuse(call.Client, codes.Canceled, "the client went away").Because(err)
	case err != nil || h.Call.PastLimit():
		return call.Refuse(call.Client, codes.DeadlineExceeded, "the deadline passed while a message was made of its JSON, or JSON of it").Because(err)
	}
	return nil
}
