package openapi_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
)

// TestUnknownVersionsMakeNothing: anybody may ask for a version, and descriptors of a
// large contract take long to make.
func TestUnknownVersionsMakeNothing(t *testing.T) {
	t.Parallel()
	made := 0
	source := &openapi.Source{Config: config.Default()}
	source.Scratch = func() *openapi.Source {
		made++
		return &openapi.Source{Config: source.Config}
	}
	documents := openapi.NewDocuments(source)
	if _, err := documents.Write("v9", openapi.JSON); err == nil || !strings.Contains(err.Error(), `no version "v9"`) {
		t.Errorf("got the error %v", err)
	}
	if made != 0 {
		t.Errorf("descriptors were made %d times for a version that is unknown", made)
	}
	first, err := documents.Write("", openapi.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := documents.Write("", openapi.JSON); again != first || made != 1 {
		t.Errorf("a document was made %d times, want once", made)
	}
}
