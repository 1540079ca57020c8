package memory_test

import (
	"bytes"
	"io"
	"testing"

	"google.golang.org/grpc/mem"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// TestPart reads a buffer through one that can be forgotten, and frees it once; when it is
// forgotten, nothing refers to its bytes, and whoever reads on finds as many.
func TestPart(t *testing.T) {
	freed := 0
	pool := counting{&freed}
	part := func() *memory.Part {
		data := bytes.Repeat([]byte("x"), 5000)
		p := new(memory.Part)
		p.Hold(mem.NewBuffer(&data, pool))
		return p
	}
	p := part()
	p.Ref()
	got, err := io.ReadAll(mem.BufferSlice{p}.Reader())
	if err != nil || string(got) != string(bytes.Repeat([]byte("x"), 5000)) || p.Len() != 5000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	p.Free()
	if freed != 0 {
		t.Error("freed before the last reference was given up")
	}
	if p.Free(); freed != 1 {
		t.Errorf("freed %d times after the last reference, want once", freed)
	}
	p = part()
	p.Forget()
	if got := p.ReadOnlyData(); !bytes.Equal(got, make([]byte, 5000)) {
		t.Errorf("%d bytes of one that is forgotten", len(got))
	}
	if p.Free(); freed != 1 {
		t.Errorf("freed %d times, and the transport may still read it", freed)
	}
}

// counting counts the buffers that it gets back.
type counting struct{ freed *int }

func (c counting) Get(n int) *[]byte { b := make([]byte, n); return &b }
func (c counting) Put(*[]byte)       { *c.freed++ }
