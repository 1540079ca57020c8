package call

import "encoding/binary"

// AppendPart appends a part of a key with its length before it, so that no part
// reaches into the next. Redis holds keys that are made of such parts: the form must
// stay as it is.
func AppendPart[T string | []byte](b []byte, part T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}
