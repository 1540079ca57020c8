package transcode

import (
	"encoding/base64"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// number writes a number, bool or enum from its bits on the wire.
//

func (s *outState) number(f *outField, v uint64) {
	switch f.op {
	case inInt32, inSfixed32:
		s.dst = strconv.AppendInt(s.dst, int64(int32(v)), 10)
	case inUint32, inFixed32:
		s.dst = strconv.AppendUint(s.dst, v, 10)
	case inSint32:
		s.dst = strconv.AppendInt(s.dst, int64(int32(protowire.DecodeZigZag(v))), 10)
	case inInt64, inSfixed64:
		s.quotedInt(int64(v))
	case inSint64:
		s.quotedInt(protowire.DecodeZigZag(v))
	case inUint64, inFixed64:
		s.dst = append(strconv.AppendUint(append(s.dst, '"'), v, 10), '"')
	case inBool:
		s.dst = strconv.AppendBool(s.dst, v != 0)
	case inEnum:
		s.enum(f.enum, int32(v))
	case inDouble:
		s.float(math.Float64frombits(v), 64)
	case inFloat:
		s.float(float64(math.Float32frombits(uint32(v))), 32)
	}
}

// quotedInt writes an integer of 64 bits, which in JSON is a string.
func (s *outState) quotedInt(v int64) {
	s.dst = append(strconv.AppendInt(append(s.dst, '"'), v, 10), '"')
}

func (s *outState) enum(e *outEnum, n int32) {
	if e.isNull {
		s.dst = append(s.dst, "null"...)
	} else if name := e.name(n); name != nil {
		s.dst = append(s.dst, name...)
	} else {
		s.dst = strconv.AppendInt(s.dst, int64(n), 10)
	}
}

// float writes a number as JavaScript would, which is what protojson does:
// large and small ones with an exponent of as few digits as it takes.
func (s *outState) float(v float64, size int) {
	switch {
	case math.IsNaN(v):
		s.dst = append(s.dst, `"NaN"`...)
		return
	case math.IsInf(v, 1):
		s.dst = append(s.dst, `"Infinity"`...)
		return
	case math.IsInf(v, -1):
		s.dst = append(s.dst, `"-Infinity"`...)
		return
	}
	if size == 64 && s.shortDecimal(v) {
		return
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	s.dst = strconv.AppendFloat(s.dst, v, format, -1, size)
	// 1e-09 becomes 1e-9.
	if n := len(s.dst); format == 'e' && n >= 4 && s.dst[n-4] == 'e' && s.dst[n-3] == '-' && s.dst[n-2] == '0' {
		s.dst[n-2] = s.dst[n-1]
		s.dst = s.dst[:n-1]
	}
}

// shortDecimal writes a number that is a decimal of at most two digits after the
// point, as prices and ratings are. A decimal of at most 15 digits is the
// shortest that stands for its float64 and no other does, so that one division,
// which is correctly rounded, proves it.
func (s *outState) shortDecimal(v float64) bool {
	scaled := v * 100
	if v < 0 || v == 0 && math.Signbit(v) || scaled >= 1e15 {
		return false
	}
	n := uint64(scaled + 0.5)
	if float64(n)/100 != v {
		return false
	}
	s.dst = strconv.AppendUint(s.dst, n/100, 10)
	switch tenths, hundredths := byte(n/10%10), byte(n%10); {
	case hundredths != 0:
		s.dst = append(s.dst, '.', '0'+tenths, '0'+hundredths)
	case tenths != 0:
		s.dst = append(s.dst, '.', '0'+tenths)
	}
	return true
}

func (s *outState) textOrBytes(f *outField, from, to int) bool {
	s.work += to - from
	if f.op == inString {
		return s.text(from, to)
	}
	s.base64(from, to)
	return true
}

func (s *outState) base64(from, to int) {
	s.room(base64.StdEncoding.EncodedLen(to-from) + len(`""`))
	s.dst = append(s.dst, '"')
	s.dst = append(base64.StdEncoding.AppendEncode(s.dst, s.src[from:to]), '"')
}
