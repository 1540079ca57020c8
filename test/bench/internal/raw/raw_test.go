package raw_test

import (
	"testing"

	"google.golang.org/grpc/mem"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/raw"
)

func TestCodecCarriesBytes(t *testing.T) {
	sent := raw.New([]byte("wire"))
	for range 2 { // a frame may be sent again
		data, err := raw.Codec{}.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		var got raw.Frame
		if err := (raw.Codec{}).Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		data.Free()
		if string(got.Bytes()) != "wire" {
			t.Errorf("got %q", got.Bytes())
		}
		got.Free()
	}
}

func TestCodecTakesNothingElse(t *testing.T) {
	if _, err := (raw.Codec{}).Marshal("text"); err == nil {
		t.Error("a string can be sent")
	}
	if err := (raw.Codec{}).Unmarshal(mem.BufferSlice{}, "text"); err == nil {
		t.Error("a string can be received")
	}
}
