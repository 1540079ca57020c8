package connect

import (
	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectgzip"
)

const identity = connect.CompressionNameIdentity

// compressors are what messages may be compressed by, the best ones first. Nobody writes
// to them.
var compressors = []connect.Compressor{connectgzip.New()}

const compressionNames = "gzip"

// compressorOf finds a compression by its name; nil for none.
func compressorOf(name string) connect.Compressor {
	for _, c := range compressors {
		if c.Name() == name {
			return c
		}
	}
	return nil
}
