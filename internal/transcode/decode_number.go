package transcode

import (
	"encoding/binary"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxDigits is the length of the largest uint64 in decimal.
const maxDigits = 20

// whole is an integer between -(2^64-1) and 2^64-1.
type whole struct {
	neg bool
	mag uint64
}

// plainWhole reads an integer of at most 18 digits at the start of b and
// returns how many bytes it takes; 0 when it is anything but that.
func plainWhole(b []byte) (v whole, n int) {
	i := 0
	if len(b) > 0 && b[0] == '-' {
		v.neg, i = true, 1
	}
	start, end := i, min(len(b), i+18)
	for i < end && b[i]-'0' <= 9 {
		v.mag = v.mag*10 + uint64(b[i]-'0')
		i++
	}
	if i == start || b[start] == '0' && i > start+1 || i < len(b) && isWord(b[i]) {
		return whole{}, 0
	}
	return v, i
}

// whole reads an integer: a number without a fraction, however it is spelled,
// or a string that holds one. It fails naming what was wanted.
func (s *inState) whole(want string) (whole, bool) {
	c, at := s.peek(), s.pos
	if c == '"' {
		return s.quotedWhole(want)
	}
	if v, n := plainWhole(s.src[at:]); n > 0 {
		s.pos += n
		return v, true
	}
	end := scanNumber(s.src, at)
	if end == 0 {
		return whole{}, s.expected(at, want)
	}
	v, ok := integral(s.src[at:end])
	if !ok {
		return whole{}, s.expected(at, want)
	}
	s.pos = end
	return v, true
}

func (s *inState) quotedWhole(want string) (whole, bool) {
	at := s.pos
	if v, n := plainWhole(s.src[at+1:]); n > 0 && at+1+n < len(s.src) && s.src[at+1+n] == '"' {
		s.pos += n + 2
		return v, true
	}
	text, ok := s.text()
	if !ok {
		return whole{}, false
	}
	v, ok := wholeOf(text)
	if !ok {
		return whole{}, s.expected(at, want)
	}
	return v, true
}

// wholeOf reads text that is one JSON number without a fraction.
func wholeOf(text []byte) (whole, bool) {
	if len(text) == 0 || scanNumber(text, 0) != len(text) {
		return whole{}, false
	}
	return integral(text)
}

// integral returns the value of a JSON number that is an integer, such as
// 1e3, 1.0 or 250e-1.
func integral(num []byte) (v whole, ok bool) {
	if num[0] == '-' {
		v.neg, num = true, num[1:]
	}
	n := skipDigits(num, 0)
	digits, rest := num[:n], num[n:]
	if digits[0] == '0' {
		digits = digits[1:]
	}
	var frac []byte
	if len(rest) > 0 && rest[0] == '.' {
		n = skipDigits(rest, 1)
		frac, rest = rest[1:n], rest[n:]
	}
	for len(frac) > 0 && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	if len(digits) == 0 && len(frac) == 0 {
		return v, true
	}
	exp, ok := exponent(rest)
	if !ok || exp < len(frac) && (len(frac) > 0 || exp < -len(digits)) || len(digits)+exp > maxDigits {
		return whole{}, false
	}
	v.mag, ok = magnitude(digits, frac, exp)
	return v, ok
}

// exponent reads "e+12" at the end of a number.
func exponent(b []byte) (int, bool) {
	if len(b) == 0 {
		return 0, true
	}
	n, err := strconv.ParseInt(string(b[1:]), 10, 32)
	return int(n), err == nil
}

// magnitude returns digits.frac * 10^exp, which the caller knows to need no
// more than maxDigits digits.
func magnitude(digits, frac []byte, exp int) (uint64, bool) {
	var mag uint64
	ok := true
	push := func(d byte) {
		if mag > (math.MaxUint64-uint64(d-'0'))/10 {
			ok = false
		}
		mag = mag*10 + uint64(d-'0')
	}
	for i, d := range digits {
		if exp < 0 && i >= len(digits)+exp {
			ok = ok && d == '0'
			continue
		}
		push(d)
	}
	for _, d := range frac {
		push(d)
	}
	for range exp - len(frac) {
		push('0')
	}
	return mag, ok
}

const (
	wantInt32  = "an integer from -2147483648 to 2147483647"
	wantUint32 = "an integer from 0 to 4294967295"
	wantInt64  = "an integer of at most 64 bits"
	wantUint64 = "an integer from 0 to 18446744073709551615"
)

// signed reads an integer that fits into so many bits.
func (s *inState) signed(want string, limit uint64) (int64, bool) {
	s.peek()
	at := s.pos
	v, ok := s.whole(want)
	switch {
	case !ok:
		return 0, false
	case v.neg && v.mag <= limit+1:
		return -int64(v.mag), true // the least int64 negates to itself
	case !v.neg && v.mag <= limit:
		return int64(v.mag), true
	}
	return 0, s.expected(at, want)
}

func (s *inState) unsigned(want string, limit uint64) (uint64, bool) {
	s.peek()
	at := s.pos
	v, ok := s.whole(want)
	if !ok {
		return 0, false
	}
	if v.mag > limit || v.neg && v.mag > 0 {
		return 0, s.expected(at, want)
	}
	return v.mag, true
}

// integer writes one value of the integer kinds.
func (s *inState) integer(op inOp) bool {
	switch op {
	case inInt32, inSint32, inSfixed32:
		v, ok := s.signed(wantInt32, math.MaxInt32)
		s.putSigned(op, v)
		return ok
	case inInt64, inSint64, inSfixed64:
		v, ok := s.signed(wantInt64, math.MaxInt64)
		s.putSigned(op, v)
		return ok
	case inUint32, inFixed32:
		v, ok := s.unsigned(wantUint32, math.MaxUint32)
		s.putUnsigned(op, v)
		return ok
	}
	v, ok := s.unsigned(wantUint64, math.MaxUint64)
	s.putUnsigned(op, v)
	return ok
}

func (s *inState) putSigned(op inOp, v int64) {
	switch op {
	case inSint32, inSint64:
		s.dst = protowire.AppendVarint(s.dst, protowire.EncodeZigZag(v))
	case inSfixed32:
		s.dst = binary.LittleEndian.AppendUint32(s.dst, uint32(v))
	case inSfixed64:
		s.dst = binary.LittleEndian.AppendUint64(s.dst, uint64(v))
	default:
		s.dst = protowire.AppendVarint(s.dst, uint64(v))
	}
}

func (s *inState) putUnsigned(op inOp, v uint64) {
	switch op {
	case inFixed32:
		s.dst = binary.LittleEndian.AppendUint32(s.dst, uint32(v))
	case inFixed64:
		s.dst = binary.LittleEndian.AppendUint64(s.dst, v)
	default:
		s.dst = protowire.AppendVarint(s.dst, v)
	}
}

// float writes one value of the kinds float (32 bits) and double (64).
func (s *inState) float(size int) bool {
	c, at := s.peek(), s.pos
	var num []byte
	if c == '"' {
		text, ok := s.text()
		if !ok {
			return false
		}
		if v, ok := specialFloat(text); ok {
			s.putFloat(v, size)
			return true
		}
		num = text
		if len(text) == 0 || scanNumber(text, 0) != len(text) {
			return s.expected(at, "a number")
		}
	} else {
		end := scanNumber(s.src, at)
		if end == 0 {
			return s.expected(at, "a number")
		}
		num, s.pos = s.src[at:end], end
	}
	v, ok := s.parseFloat(num, size)
	if !ok {
		return s.expected(at, "a number of at most "+strconv.Itoa(size)+" bits")
	}
	s.putFloat(v, size)
	return true
}

func specialFloat(text []byte) (float64, bool) {
	switch string(text) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	return 0, false
}

func (s *inState) putFloat(v float64, size int) {
	if size == 32 {
		s.dst = binary.LittleEndian.AppendUint32(s.dst, math.Float32bits(float32(v)))
		return
	}
	s.dst = binary.LittleEndian.AppendUint64(s.dst, math.Float64bits(v))
}
