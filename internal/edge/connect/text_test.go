package connect_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	edgeconnect "github.com/gatehouse-dev/gatehouse/internal/edge/connect"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

const (
	textType = "application/grpc-web-text"
	asText   = "Content-Type: " + textType
)

// enveloped is a message with its prefix.
func enveloped(t *testing.T, m proto.Message) []byte {
	t.Helper()
	wire, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return frame(0, wire)
}

func frame(flags byte, wire []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(wire))), wire...)
}

func base64Of(parts ...[]byte) string {
	var out strings.Builder
	for _, p := range parts {
		out.WriteString(base64.StdEncoding.EncodeToString(p))
	}
	return out.String()
}

// textFrames decodes an answer quantum by quantum, as clients do.
func textFrames(t *testing.T, body string) (messages [][]byte, trailer string) {
	t.Helper()
	if len(body)%4 != 0 {
		t.Fatalf("the answer is %d characters, not quanta of four", len(body))
	}
	var raw []byte
	for i := 0; i < len(body); i += 4 {
		part, err := base64.StdEncoding.DecodeString(body[i : i+4])
		if err != nil {
			t.Fatalf("at %d: %v", i, err)
		}
		raw = append(raw, part...)
	}
	for len(raw) >= 5 {
		end := 5 + int(binary.BigEndian.Uint32(raw[1:]))
		content := raw[5:end]
		if raw[0]&1 != 0 {
			content = unzipped(t, content)
		}
		if raw[0]&0x80 != 0 {
			trailer = string(content)
		} else {
			messages = append(messages, content)
		}
		raw = raw[end:]
	}
	if len(raw) > 0 {
		t.Fatalf("%d bytes follow the last frame", len(raw))
	}
	return messages, trailer
}

func unzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestText is gRPC-Web in its text form.
func TestText(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds)))
	boots := enveloped(t, &catalogv1.GetProductRequest{Name: "products/boots"})
	large := strings.Repeat("x", 1<<20)
	compressed := frame(1, []byte(zipped(t, string(boots[5:]))))
	tests := []struct {
		what, target, body string
		headers            []string
		name               string // in the answer
	}{
		{"whole", edgetest.GetProduct, base64Of(boots), nil, "products/boots"},
		{"with the codec", edgetest.GetProduct, base64Of(boots), []string{asText + "+proto"}, "products/boots"},
		{"padding in the middle", edgetest.GetProduct, base64Of(boots[:5], boots[5:9], boots[9:]), nil, "products/boots"},
		{"padding after each byte", edgetest.GetProduct, base64Of(bytes.Split(boots, nil)...), nil, "products/boots"},
		{"large", edgetest.GetProduct, base64Of(enveloped(t, &catalogv1.GetProductRequest{Name: large})), nil, large},
		{"compressed", edgetest.GetProduct, base64Of(compressed), []string{"Grpc-Encoding: gzip"}, "products/boots"},
	}
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		for _, tt := range tests {
			headers := append([]string{"Grpc-Accept-Encoding: identity"}, tt.headers...)
			if !strings.HasPrefix(strings.Join(tt.headers, ""), asText) {
				headers = append(headers, asText)
			}
			got := gatewaytest.Do(t, client, g.Request(t, "POST", tt.target, tt.body, headers...))
			if ct := got.Header.Get("Content-Type"); got.StatusCode != http.StatusOK || ct != textType+"+proto" {
				t.Fatalf("%s: got %d, %s: %.200s", tt.what, got.StatusCode, ct, got.Text)
			}
			messages, trailer := textFrames(t, got.Text)
			product := new(catalogv1.Product)
			if len(messages) != 1 || proto.Unmarshal(messages[0], product) != nil || product.GetName() != tt.name || !strings.Contains(trailer, "grpc-status: 0") {
				t.Errorf("%s: got %d messages and trailers %q", tt.what, len(messages), trailer)
			}
		}
	})
}

// TestTextErrors: errors come as everywhere in gRPC-Web.
func TestTextErrors(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds)))
	boots := base64Of(enveloped(t, &catalogv1.GetProductRequest{Name: "products/boots"}))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		for _, tt := range []struct{ what, target, body, code string }{
			{"trailers only", "/shop.v1.Nothing/Is", boots, "12"},
			{"not base64", edgetest.GetProduct, "AAAA!!!!", "3"},
			{"lines", edgetest.GetProduct, "\n\n\n\n", "3"},
			{"a part of a quantum", edgetest.GetProduct, boots + "AA", "3"},
			{"data after the message", edgetest.GetProduct, boots + boots, "12"},
			{"half a message", edgetest.GetProduct, base64Of([]byte{0, 0, 0, 0, 9, 1}), "13"},
		} {
			got := gatewaytest.Do(t, client, g.Request(t, "POST", tt.target, tt.body, asText))
			_, trailer := textFrames(t, got.Text)
			code := got.Header.Get("Grpc-Status")
			if trailer != "" {
				_, code, _ = strings.Cut(trailer, "grpc-status: ")
				code, _, _ = strings.Cut(code, "\r\n")
			}
			if got.StatusCode != http.StatusOK || code != tt.code || !strings.HasPrefix(got.Header.Get("Content-Type"), textType) {
				t.Errorf("%s: got %d %v %q, want code %s", tt.what, got.StatusCode, got.Header, trailer, tt.code)
			}
		}
	})
}

// TestTextOfTheAnswer: Accept decides on the form of the answer.
func TestTextOfTheAnswer(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds)))
	raw := enveloped(t, &catalogv1.GetProductRequest{Name: "products/boots"})
	for _, tt := range []struct {
		sent, accept string
		text         bool
	}{
		{asText, "", true},
		{asText, "*/*", true},
		{asText, textType, true},
		{asText, "application/grpc-web+proto", false},
		{asWeb, "", false},
		{asWeb, "*/*", false},
		{asWeb, textType + "+proto", true},
	} {
		body := string(raw)
		if tt.sent == asText {
			body = base64Of(raw)
		}
		headers := []string{tt.sent}
		if tt.accept != "" {
			headers = append(headers, "Accept: "+tt.accept)
		}
		got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "POST", edgetest.GetProduct, body, headers...))
		if text := strings.HasPrefix(got.Header.Get("Content-Type"), textType); got.StatusCode != http.StatusOK || text != tt.text {
			t.Errorf("%s, accepting %q: got %d %s", tt.sent, tt.accept, got.StatusCode, got.Header.Get("Content-Type"))
		}
		if !tt.text && !strings.HasPrefix(got.Text, "\x00\x00\x00") {
			t.Errorf("%s, accepting %q: got %.20q", tt.sent, tt.accept, got.Text)
		}
	}
}

// TestTextStream: each message can be decoded when it comes, and the request is read as it
// comes, a character at a time.
func TestTextStream(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds)))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		const many = 20
		r := g.Request(t, "POST", edgetest.WatchStock, "", asText)
		text := base64Of(enveloped(t, &inventoryv1.WatchStockRequest{Name: "w", MaxMovements: many}))
		r.Body, r.ContentLength = io.NopCloser(iotest.OneByteReader(strings.NewReader(text))), -1
		got := gatewaytest.Do(t, client, r)
		messages, trailer := textFrames(t, got.Text)
		if len(messages) != many || !strings.Contains(trailer, "grpc-status: 0") {
			t.Errorf("got %d messages and trailers %q", len(messages), trailer)
		}
	})
}

// FuzzText compares the reader with a plain decoding, however the text comes.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "QQ==", "QUI=QUJD", "QQ==QQ==", "QUJ", "Q===", "!!!!", "QUJD\nQUJD"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want []byte
		good := len(text)%4 == 0 && !strings.ContainsAny(text, "\r\n")
		for i := 0; i+4 <= len(text); i += 4 {
			part, err := base64.StdEncoding.DecodeString(text[i : i+4])
			if err != nil {
				good = false
				break
			}
			want = append(want, part...)
		}
		for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
			got, err := io.ReadAll(edgeconnect.DecodeText(r))
			if (err == nil) != good || good && !bytes.Equal(got, want) {
				t.Fatalf("got %x, %v, want %x, and an error: %v", got, err, want, !good)
			}
		}
	})
}
