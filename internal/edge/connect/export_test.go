package connect

import "io"

// DecodeText decodes a body in gRPC-Web's text form.
func DecodeText(r io.Reader) io.Reader { return &textReader{ReadCloser: io.NopCloser(r)} }
