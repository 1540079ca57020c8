package publicapi_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/publicapi"
)

func TestMake(t *testing.T) {
	o := publicapi.Options{Seed: 7, RPCs: 100, Bindings: 130, Files: 180, Comments: true}
	api := publicapi.Make(o)
	if _, err := protodesc.NewFiles(api); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(api, publicapi.Make(o)) {
		t.Error("equal options make other contracts")
	}
	rpcs, comments := 0, 0
	for _, file := range api.GetFile() {
		comments += len(file.GetSourceCodeInfo().GetLocation())
		for _, s := range file.GetService() {
			rpcs += len(s.GetMethod())
		}
	}
	if rpcs != o.RPCs || len(api.GetFile()) != o.Files || comments == 0 {
		t.Errorf("%d RPCs in %d files with %d places in the source", rpcs, len(api.GetFile()), comments)
	}
	o.Comments = false
	bare := publicapi.Make(o)
	for _, file := range api.GetFile() {
		file.SourceCodeInfo = nil
	}
	if !proto.Equal(api, bare) {
		t.Error("without comments the contract is another one")
	}
}
