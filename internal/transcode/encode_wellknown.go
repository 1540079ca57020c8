package transcode

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// any writes a google.protobuf.Any: the message inside with its type beside.
func (s *outState) any(b []byte) bool {
	var it, url, value item
	for len(b) > 0 {
		var ok bool
		if b, ok = s.next(b, &it); !ok {
			return false
		}
		switch {
		case it.number == 1 && it.kind == protowire.BytesType:
			url = it
		case it.number == 2 && it.kind == protowire.BytesType:
			value = it
		}
	}
	if len(url.b) == 0 {
		if len(value.b) > 0 {
			return s.fail("is an Any with a value and no type_url")
		}
		s.dst = append(s.dst, '{', '}')
		return true
	}
	p := s.typeOf(url.b)
	if p == nil {
		return s.fail("is an Any of type %q, which the contract does not have", url.b)
	}
	s.dst = append(s.dst, `{"@type":`...)
	if !s.text(url.b) {
		return false
	}
	if p.form != formObject && p.form != formEmpty {
		s.dst = append(s.dst, `,"value":`...)
		return s.message(p, value.b) && s.brace()
	}
	return s.inside(p, value.b) && s.brace()
}

func (s *outState) brace() bool {
	s.dst = append(s.dst, '}')
	return true
}

// inside writes the members of the message inside an Any. What is said twice is
// merged here: the members stand in an object that has begun.
func (s *outState) inside(p *outPlan, b []byte) bool {
	if s.depth++; s.depth > maxAnswerDepth {
		return s.fail("nests deeper than %d messages", maxAnswerDepth)
	}
	defer func() { s.depth-- }()
	begin, bits, ext, keys := len(s.dst), len(s.bits), len(s.ext), len(s.keys)
	ok := s.members(p, b)
	if !s.reorder {
		return ok
	}
	s.reorder = false
	s.dst = s.dst[:begin]
	s.bits, s.ext, s.keys = s.bits[:bits], s.ext[:ext], s.keys[:keys]
	canonical, err := s.canonical(p.desc, b)
	if err != nil {
		return s.fail("is not a %s", p.desc.FullName())
	}
	return s.members(p, canonical)
}

// typeOf finds the plan for a type URL, nil if the type is not known.
func (s *outState) typeOf(url []byte) *outPlan {
	if p, ok := s.rt.types.get(url); ok {
		return p
	}
	mt, err := s.rt.resolver.FindMessageByURL(string(url))
	if err != nil {
		return nil
	}
	p := s.rt.message(mt.Descriptor())
	s.rt.types.put(string(url), p)
	return p
}

// pair reads the two numbers of a Timestamp or Duration; the last one counts.
func (s *outState) pair(b []byte) (seconds int64, nanos int32, ok bool) {
	var it item
	for len(b) > 0 {
		if b, ok = s.next(b, &it); !ok {
			return 0, 0, false
		}
		if it.kind != protowire.VarintType {
			continue
		}
		switch it.number {
		case 1:
			seconds = int64(it.x) //nolint:gosec // two's complement, by protobuf's rules
		case 2:
			nanos = int32(it.x) //nolint:gosec // two's complement, by protobuf's rules
		}
	}
	return seconds, nanos, true
}

// The ranges of timestamp.proto and duration.proto.
const (
	minTimestamp = -62135596800 // 0001-01-01T00:00:00Z
	maxTimestamp = 253402300799 // 9999-12-31T23:59:59Z
	maxDuration  = 315576000000 // 10,000 years
	second       = 1_000_000_000
	daySeconds   = 86400
)

// timestamp writes RFC 3339 in UTC.
func (s *outState) timestamp(b []byte) bool {
	seconds, nanos, ok := s.pair(b)
	if !ok {
		return false
	}
	if seconds < minTimestamp || seconds > maxTimestamp {
		return s.fail("is a Timestamp of %d seconds, which is outside of the years 1 to 9999", seconds)
	}
	if nanos < 0 || nanos >= second {
		return s.fail("is a Timestamp of %d nanoseconds: want 0 to 999,999,999", nanos)
	}
	day := (seconds - minTimestamp) / daySeconds // since 0001-01-01
	left := int((seconds - minTimestamp) % daySeconds)
	year, month, dayOfMonth := civil(int(day))
	s.dst = append(s.dst, '"')
	s.digits(year, 4)
	s.dst = append(s.dst, '-')
	s.digits(month, 2)
	s.dst = append(s.dst, '-')
	s.digits(dayOfMonth, 2)
	s.dst = append(s.dst, 'T')
	s.digits(left/3600, 2)
	s.dst = append(s.dst, ':')
	s.digits(left/60%60, 2)
	s.dst = append(s.dst, ':')
	s.digits(left%60, 2)
	s.fraction(int(nanos))
	s.dst = append(s.dst, 'Z', '"')
	return true
}

// civil turns days since 0001-01-01 into a date. The calendar is counted from
// 0000-03-01, so that the leap day is a year's last
// (https://howardhinnant.github.io/date_algorithms.html).
func civil(day int) (year, month, dayOfMonth int) {
	day += 306 // from 0000-03-01
	const eraDays = 146097
	era, doe := day/eraDays, day%eraDays
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	dayOfMonth = doy - (153*mp+2)/5 + 1
	month = mp + 3
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, dayOfMonth
}

// digits writes n with at least that many digits.
func (s *outState) digits(n, width int) {
	var b [10]byte
	for i := width - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	s.dst = append(s.dst, b[:width]...)
}

// fraction writes 0, 3, 6 or 9 digits.
func (s *outState) fraction(nanos int) {
	switch {
	case nanos == 0:
	case nanos%1_000_000 == 0:
		s.dst = append(s.dst, '.')
		s.digits(nanos/1_000_000, 3)
	case nanos%1_000 == 0:
		s.dst = append(s.dst, '.')
		s.digits(nanos/1_000, 6)
	default:
		s.dst = append(s.dst, '.')
		s.digits(nanos, 9)
	}
}

// duration writes seconds with an "s" behind.
func (s *outState) duration(b []byte) bool {
	seconds, nanos, ok := s.pair(b)
	if !ok {
		return false
	}
	if seconds < -maxDuration || seconds > maxDuration || nanos <= -second || nanos >= second {
		return s.fail("is a Duration of %d seconds and %d nanoseconds: want at most 10,000 years", seconds, nanos)
	}
	if seconds > 0 && nanos < 0 || seconds < 0 && nanos > 0 {
		return s.fail("is a Duration of which seconds and nanoseconds differ in sign")
	}
	s.dst = append(s.dst, '"')
	if seconds < 0 || nanos < 0 {
		s.dst = append(s.dst, '-')
		seconds, nanos = -seconds, -nanos
	}
	s.dst = strconv.AppendUint(s.dst, uint64(seconds), 10) //nolint:gosec // not negative
	s.fraction(int(nanos))
	s.dst = append(s.dst, 's', '"')
	return true
}

// wrapper writes the value of a wrapper bare.
func (s *outState) wrapper(p *outPlan, b []byte) bool {
	f := p.find(1)
	var it, value item
	for len(b) > 0 {
		var ok bool
		if b, ok = s.next(b, &it); !ok {
			return false
		}
		if it.number == 1 && it.kind == f.wire {
			value = it
		}
	}
	return s.value(f, &value)
}

// bare writes a Struct or ListValue: its one field without the name.
func (s *outState) bare(p *outPlan, b []byte) bool {
	f := p.find(1)
	o := object{plan: p, keys: len(s.keys)}
	open, end := byte('['), byte(']')
	if f.isMap {
		open, end = '{', '}'
	}
	s.dst = append(s.dst, open)
	var it item
	for first := true; len(b) > 0; {
		var ok bool
		if b, ok = s.next(b, &it); !ok {
			return false
		}
		if it.number != 1 || it.kind != protowire.BytesType {
			continue
		}
		if !first {
			s.dst = append(s.dst, ',')
		}
		first = false
		if f.isMap {
			ok = s.entry(&o, f, it.b)
		} else {
			ok = s.value(f, &it)
		}
		if !ok {
			return s.failed(f)
		}
	}
	s.dst = append(s.dst, end)
	s.forget(&o)
	return true
}

// anyValue writes a google.protobuf.Value, of which exactly one member is set.
func (s *outState) anyValue(p *outPlan, b []byte) bool {
	var it, value item
	var f *outField
	for len(b) > 0 {
		var ok bool
		if b, ok = s.next(b, &it); !ok {
			return false
		}
		met := p.find(it.number)
		if met == nil || met.wire != it.kind {
			continue
		}
		if f != nil && (f != met || f.msg != nil) {
			return s.again()
		}
		f, value = met, it
	}
	if f == nil {
		return s.fail("is a google.protobuf.Value of no kind")
	}
	if f.op == inDouble {
		if v := math.Float64frombits(value.x); math.IsNaN(v) || math.IsInf(v, 0) {
			return s.fail("is a google.protobuf.Value of %v, which JSON has no number for", v)
		}
	}
	return s.value(f, &value)
}

// fieldMask writes the paths in lowerCamelCase with commas between.
func (s *outState) fieldMask(b []byte) bool {
	s.dst = append(s.dst, '"')
	var it item
	for first := true; len(b) > 0; {
		var ok bool
		if b, ok = s.next(b, &it); !ok {
			return false
		}
		if it.number != 1 || it.kind != protowire.BytesType {
			continue
		}
		if !first {
			s.dst = append(s.dst, ',')
		}
		first = false
		if !s.maskPath(it.b) {
			return false
		}
	}
	s.dst = append(s.dst, '"')
	return true
}

// maskPath writes one path. One that could not be read back is an error.
func (s *outState) maskPath(b []byte) bool {
	if !protoreflect.FullName(b).IsValid() {
		return s.fail("is a FieldMask with the path %q, which no field can have", b)
	}
	upper := false
	for i, c := range b {
		if c == '_' {
			if upper || i+1 == len(b) || b[i+1] < 'a' || b[i+1] > 'z' {
				return s.irreversible(b)
			}
			upper = true
			continue
		}
		if 'A' <= c && c <= 'Z' {
			return s.irreversible(b)
		}
		if upper {
			c -= 'a' - 'A'
		}
		s.dst, upper = append(s.dst, c), false
	}
	return true
}

func (s *outState) irreversible(b []byte) bool {
	return s.fail("is a FieldMask with the path %q, which lowerCamelCase cannot say: want lower_snake_case", b)
}
