package transcode

import "strconv"

// The ranges of timestamp.proto and duration.proto.
const (
	minTimestamp = -62135596800 // 0001-01-01T00:00:00Z
	maxTimestamp = 253402300799 // 9999-12-31T23:59:59Z
	maxDuration  = 315576000000 // 10,000 years
	second       = 1_000_000_000
	daySeconds   = 86400
)

// timestamp writes RFC 3339 in UTC.
func (s *outState) timestamp(seconds int64, nanos int32) bool {
	if seconds < minTimestamp || seconds > maxTimestamp {
		return s.fail("is a Timestamp of %d seconds, which is outside of the years 1 to 9999", seconds)
	}
	if nanos < 0 || nanos >= second {
		return s.fail("is a Timestamp of %d nanoseconds: want 0 to 999,999,999", nanos)
	}
	day := (seconds - minTimestamp) / daySeconds // since 0001-01-01
	left := int((seconds - minTimestamp) % daySeconds)
	year, month, dayOfMonth := civil(uint32(day))
	s.dst = append(s.dst, `"0000-00-00T00:00:00`...)
	d := s.dst[len(s.dst)-len("0000-00-00T00:00:00"):]
	putTwo(d[0:], year/100)
	putTwo(d[2:], year%100)
	putTwo(d[5:], month)
	putTwo(d[8:], dayOfMonth)
	putTwo(d[11:], left/3600)
	putTwo(d[14:], left/60%60)
	putTwo(d[17:], left%60)
	s.fraction(int(nanos))
	s.dst = append(s.dst, 'Z', '"')
	return true
}

// civil turns days since 0001-01-01 into a date. The calendar is counted from
// 0000-03-01, so that the leap day is a year's last, and years and months are
// cut off by multiplication (Neri and Schneider, "Euclidean affine functions and
// their application to calendar algorithms", 2022).
func civil(day uint32) (year, month, dayOfMonth int) {
	const fourCenturies, yearPart, monthPart = 146097, 2939745, 2141
	n := 4*(day+306) + 3
	century, ofCentury := n/fourCenturies, n%fourCenturies/4
	years := yearPart * uint64(4*ofCentury+3)
	ofYear := uint32(years) / yearPart / 4
	months := monthPart*ofYear + 197913
	year, month = int(100*century+uint32(years>>32)), int(months>>16)
	if ofYear >= 306 { // January and February
		year, month = year+1, month-12
	}
	return year, month, int(months&0xffff/monthPart) + 1
}

// putTwo writes a number below 100 with two digits.
func putTwo(d []byte, n int) {
	_ = d[1]
	d[0], d[1] = byte('0'+n/10), byte('0'+n%10)
}

// digits writes n with so many digits, at most nine.
func (s *outState) digits(n, width int) {
	s.dst = append(s.dst, "000000000"[:width]...)
	for i := len(s.dst) - 1; n > 0; i-- {
		s.dst[i] = byte('0' + n%10)
		n /= 10
	}
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
func (s *outState) duration(seconds int64, nanos int32) bool {
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
	s.dst = strconv.AppendUint(s.dst, uint64(seconds), 10)
	s.fraction(int(nanos))
	s.dst = append(s.dst, 's', '"')
	return true
}
