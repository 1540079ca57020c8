package transcode

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// wellKnown reads a message that has a JSON form of its own.
func (s *inState) wellKnown(p *inPlan) bool {
	switch p.form {
	case formTimestamp:
		return s.timestamp()
	case formDuration:
		return s.duration()
	case formFieldMask:
		return s.fieldMask()
	case formWrapper, formStruct, formList:
		return s.field(&p.fields[0], nil)
	case formValue:
		return s.anyJSON(p)
	case formAny:
		return s.any()
	case formMessageSet:
		return s.fail("%s is a message set, which JSON cannot hold", p.desc.FullName())
	}
	return s.object(p, nil) // Empty
}

// anyJSON reads any JSON value as a google.protobuf.Value.
func (s *inState) anyJSON(p *inPlan) bool {
	i := s.kindOfValue()
	if i < 0 {
		return s.expectedToken("a value")
	}
	f := &p.fields[i]
	s.putTag(f.tag)
	if f.op != inMessage {
		return s.scalar(f)
	}
	width := f.message().width.Load()
	start := s.begin(width)
	if !s.field(&f.message().fields[0], nil) { // the value and the struct in it are one level
		return false
	}
	if need := s.finish(start, width); need != width {
		f.message().width.Store(need)
	}
	return true
}

// kindOfValue returns which field of google.protobuf.Value holds what comes
// next, -1 for what is no JSON value.
func (s *inState) kindOfValue() int {
	switch c := s.peek(); {
	case c == 'n':
		return 0
	case c == '-' || c >= '0' && c <= '9':
		return 1
	case c == '"':
		return 2
	case c == 't' || c == 'f':
		return 3
	case c == '{':
		return 4
	case c == '[':
		return 5
	}
	return -1
}

// quoted expects a string and returns it with where it began.
func (s *inState) quoted(want string) (text []byte, at int, ok bool) {
	c := s.peek()
	at = s.pos
	if c != '"' {
		return nil, at, s.expected(at, want)
	}
	text, ok = s.text()
	return text, at, ok
}

const (
	wantTimestamp = `a timestamp such as "2026-01-31T12:30:00.5Z" between the years 1 and 9999`
	wantDuration  = `a duration in seconds such as "1.5s", of at most 315576000000s`
	wantFieldMask = `field paths in lowerCamelCase, separated by commas`
	wantBytes     = `bytes in base64`
)

func (s *inState) timestamp() bool {
	text, at, ok := s.quoted(wantTimestamp)
	if !ok {
		return false
	}
	seconds, nanos, ok := parseTimestamp(text)
	if !ok {
		return s.expected(at, wantTimestamp)
	}
	s.putSeconds(seconds, nanos)
	return true
}

func (s *inState) duration() bool {
	text, at, ok := s.quoted(wantDuration)
	if !ok {
		return false
	}
	seconds, nanos, ok := parseDuration(text)
	if !ok {
		return s.expected(at, wantDuration)
	}
	s.putSeconds(seconds, nanos)
	return true
}

// putSeconds writes the fields that Timestamp and Duration have in common.
func (s *inState) putSeconds(seconds, nanos int64) {
	if seconds != 0 {
		s.dst = protowire.AppendVarint(append(s.dst, 1<<3), uint64(seconds))
	}
	if nanos != 0 {
		s.dst = protowire.AppendVarint(append(s.dst, 2<<3), uint64(nanos))
	}
}

// parseTimestamp reads a date and time by RFC 3339 in the range of
// google.protobuf.Timestamp.
func parseTimestamp(b []byte) (seconds, nanos int64, ok bool) {
	const shape = "dddd-dd-ddTdd:dd:dd"
	if len(b) < len(shape)+1 {
		return 0, 0, false
	}
	for i, want := range []byte(shape) {
		if want == 'd' && b[i]-'0' > 9 || want != 'd' && b[i] != want {
			return 0, 0, false
		}
	}
	year, month, day := int(two(b))*100+int(two(b[2:])), time.Month(two(b[5:])), int(two(b[8:]))
	hour, minute, second := two(b[11:]), two(b[14:]), two(b[17:])
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, 0, false
	}
	rest := b[len(shape):]
	if rest[0] == '.' {
		var n int
		if nanos, n = fraction(rest[1:]); n == 0 {
			return 0, 0, false
		}
		rest = rest[1+n:]
	}
	offset, ok := zone(rest)
	seconds = daysBefore(year, month, day)*86400 + hour*3600 + minute*60 + second - offset
	return seconds, nanos, ok && seconds >= -62135596800 && seconds <= 253402300799
}

// two reads two digits.
func two(b []byte) int64 { return int64(b[0]-'0')*10 + int64(b[1]-'0') }

func daysIn(year int, month time.Month) int {
	switch month {
	case time.April, time.June, time.September, time.November:
		return 30
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysBefore counts the days from 1970-01-01 to a date of the Gregorian
// calendar. Its years begin in March, so that the leap day comes last.
func daysBefore(year int, month time.Month, day int) int64 {
	y, m := int64(year), int64(month)
	if m <= 2 {
		y, m = y-1, m+12
	}
	era := y
	if era < 0 {
		era -= 399
	}
	era /= 400
	ofEra := y - era*400
	ofYear := (153*(m-3)+2)/5 + int64(day) - 1
	return era*146097 + ofEra*365 + ofEra/4 - ofEra/100 + ofYear - 719468
}

// fraction reads one to nine digits after the point as nanoseconds.
func fraction(b []byte) (nanos int64, n int) {
	for n < len(b) && b[n]-'0' <= 9 {
		if n == 9 {
			return 0, 0
		}
		nanos = nanos*10 + int64(b[n]-'0')
		n++
	}
	for range 9 - n {
		nanos *= 10
	}
	return nanos, n
}

// zone reads "Z" or "+hh:mm" and returns the seconds to subtract.
func zone(b []byte) (int64, bool) {
	if len(b) == 1 {
		return 0, b[0] == 'Z'
	}
	if len(b) != len("+00:00") || b[0] != '+' && b[0] != '-' || b[3] != ':' {
		return 0, false
	}
	for _, i := range []int{1, 2, 4, 5} {
		if b[i]-'0' > 9 {
			return 0, false
		}
	}
	hours, minutes := two(b[1:]), two(b[4:])
	offset := hours*3600 + minutes*60
	if b[0] == '-' {
		offset = -offset
	}
	return offset, hours < 24 && minutes < 60
}

// parseDuration reads seconds with an optional sign and fraction, and "s".
func parseDuration(b []byte) (seconds, nanos int64, ok bool) {
	if len(b) < 2 || b[len(b)-1] != 's' {
		return 0, 0, false
	}
	neg := b[0] == '-'
	b = b[:len(b)-1]
	if neg || b[0] == '+' {
		b = b[1:]
	}
	n := skipDigits(b, 0)
	if len(b) == 0 || n > 1 && b[0] == '0' || n > 12 {
		return 0, 0, false
	}
	for _, c := range b[:n] {
		seconds = seconds*10 + int64(c-'0')
	}
	if rest := b[n:]; len(rest) > 0 {
		digits := 0
		nanos, digits = fraction(rest[1:])
		if rest[0] != '.' || digits != len(rest)-1 {
			return 0, 0, false
		}
	}
	if neg {
		seconds, nanos = -seconds, -nanos
	}
	return seconds, nanos, max(seconds, -seconds) <= 315576000000
}

// pathsTag is the tag of FieldMask.paths.
const pathsTag = 1<<3 | byte(protowire.BytesType)

func (s *inState) fieldMask() bool {
	text, at, ok := s.quoted(wantFieldMask)
	if !ok {
		return false
	}
	if !s.putPaths(text, false) {
		return s.expected(at, wantFieldMask)
	}
	return true
}

// putPaths writes the paths of a FieldMask from its JSON form. With loose set
// the names may be in snake_case already, and "*" alone stands for all fields
// (AIP-134, AIP-157), which ProtoJSON has no word for.
func (s *inState) putPaths(text []byte, loose bool) bool {
	text = bytes.TrimSpace(text)
	if loose && string(text) == "*" {
		s.dst = append(s.dst, pathsTag, 1, '*')
		return true
	}
	left := beat
	for more := len(text) > 0; more; {
		var path []byte
		path, text, more = bytes.Cut(text, []byte{','})
		if left -= len(path) + 1; left < 0 {
			if left = beat; !s.goOn(s.pos) {
				return false
			}
		}
		s.dst = append(s.dst, pathsTag)
		start := s.begin(1)
		if !s.snakePath(path, loose) {
			return false
		}
		s.finish(start, 1)
	}
	return true
}

// snakePath writes one path with the proto names of its fields. A name that
// would not come back the same from lowerCamelCase is refused.
func (s *inState) snakePath(path []byte, loose bool) bool {
	first := true
	for i, c := range path {
		if i%beat == beat-1 && !s.goOn(s.pos) {
			return false
		}
		switch {
		case c >= 'A' && c <= 'Z':
			s.dst = append(s.dst, '_', c+'a'-'A')
			first = false
			continue
		case c >= 'a' && c <= 'z', c == '_' && loose:
			first = false
		case c >= '0' && c <= '9' && !first:
		case c == '.' && !first:
			first = true
		default:
			return false
		}
		s.dst = append(s.dst, c)
	}
	return !first
}

func (s *inState) bytesValue() bool {
	text, at, ok := s.quoted(wantBytes)
	if !ok {
		return false
	}
	if !s.putBase64(text) {
		return s.expected(at, wantBytes)
	}
	return true
}

// putBase64 writes bytes from the standard or the URL alphabet, padded or not.
func (s *inState) putBase64(text []byte) bool {
	enc := base64.StdEncoding
	if bytes.ContainsAny(text, "-_") {
		enc = base64.URLEncoding
	}
	if len(text)%4 != 0 {
		enc = enc.WithPadding(base64.NoPadding)
	}
	width := uint32(protowire.SizeVarint(uint64(enc.DecodedLen(len(text)))))
	start := s.begin(width)
	out, err := enc.AppendDecode(s.dst, text)
	if err != nil {
		return false
	}
	s.dst = out
	s.finish(start, width)
	return true
}

// enumText writes an enum from text that is its name or its number. An unknown
// name is refused even where a document's is ignored: what is said in a path or
// a query is a condition, and to drop one would answer another question.
func (s *inState) enumText(e *inEnumPlan, text []byte) bool {
	if v, err := strconv.ParseInt(string(text), 10, 32); err == nil {
		s.putSigned(inInt32, max(math.MinInt32, v))
		return true
	}
	if _, ok := e.numbers[string(text)]; !ok {
		return s.notEnum(e, text)
	}
	return s.enumName(e, text)
}
