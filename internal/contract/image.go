package contract

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/internal/files"
)

// MaxImageBytes bounds an image, as a file and as it stands in memory,
// uncompressed. The contracts of a whole company are a tenth of it.
const MaxImageBytes = 128 << 20

// ReadImage reads the bytes of an image, uncompressed: a file that holds a
// google.protobuf.FileDescriptorSet, as `buf build -o` and `protoc
// --include_imports -o` write it, binary or JSON, compressed with gzip or not. What
// it is shows from its contents. Errors name the file.
func ReadImage(path string) ([]byte, error) {
	data, err := readImage(path)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", path, err)
	}
	return data, nil
}

// ParseImage reads what [ReadImage] has read. path stands in errors, which name the
// symbol within it.
func ParseImage(path string, data []byte) (*Set, error) {
	files, err := parseImage(data)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", path, err)
	}
	set, err := link(files, unresolved, "build it with its imports (buf build, protoc --include_imports)")
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", path, err)
	}
	return set, nil
}

func readImage(path string) ([]byte, error) {
	data, err := files.Read(path, MaxImageBytes)
	if err != nil {
		if pe, ok := errors.AsType[*os.PathError](err); ok {
			err = pe.Err
		}
		return nil, fmt.Errorf("cannot read it: %w", err)
	}
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, errors.New("it begins as gzip does and is not")
	}
	data, err = io.ReadAll(io.LimitReader(z, MaxImageBytes+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return nil, errors.New("it is cut short or damaged")
	case err != nil:
		return nil, fmt.Errorf("cannot read it: %w", err)
	case len(data) > MaxImageBytes:
		return nil, fmt.Errorf("it is larger than %d MiB", MaxImageBytes>>20)
	}
	return data, nil
}

// parseImage returns the files of an image as they are on the wire. It tells JSON from
// binary by the first byte: no binary set of descriptors begins with "{", which would
// be the group 15.
func parseImage(data []byte) ([][]byte, error) {
	if text := bytes.TrimSpace(data); bytes.HasPrefix(text, []byte("{")) {
		set := new(descriptorpb.FileDescriptorSet)
		// Unknown fields are buf's own, and options that nothing here knows.
		if err := (protojson.UnmarshalOptions{AllowPartial: true, DiscardUnknown: true}).Unmarshal(text, set); err != nil {
			return nil, fmt.Errorf("it is not a FileDescriptorSet in JSON: %s", plain(err))
		}
		var err error
		if data, err = (proto.MarshalOptions{AllowPartial: true}).Marshal(set); err != nil {
			return nil, fmt.Errorf("it is not a FileDescriptorSet in JSON: %s", plain(err))
		}
	}
	var files [][]byte
	whole := eachField(data, func(number protowire.Number, _, contents []byte) {
		if number == fileInSet {
			files = append(files, contents)
		}
	})
	if !whole || slices.ContainsFunc(files, isBroken) {
		return nil, errors.New("it is not a FileDescriptorSet: make one with buf build -o or protoc --include_imports --include_source_info -o")
	}
	if len(files) == 0 {
		return nil, errors.New("it holds no files")
	}
	return files, nil
}

// isBroken reports whether a file cannot be one, nor any other message.
func isBroken(file []byte) bool {
	return !eachField(file, func(protowire.Number, []byte, []byte) {})
}
