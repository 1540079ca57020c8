package connect

import (
	"strings"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectgzip"
)

const identity = connect.CompressionNameIdentity

// compressFrom is the size of the smallest messages that are compressed, in bytes. To
// compress smaller ones costs more than all else in a call, and saves no packet.
const compressFrom = 1 << 10

// compressors are the supported compressions, in the order of preference. They are fixed.
var compressors = []connect.Compressor{connectgzip.New()}

// compressionNames lists them for clients.
var compressionNames = func() string {
	names := make([]string, 0, len(compressors))
	for _, c := range compressors {
		names = append(names, c.Name())
	}
	return strings.Join(names, ", ")
}()

// compressorOf finds a compression by its name; nil for none.
func compressorOf(name string) connect.Compressor {
	for _, c := range compressors {
		if c.Name() == name {
			return c
		}
	}
	return nil
}
