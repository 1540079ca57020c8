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
	s.dst = strconv.AppendUint(s.dst, uint64(seconds), 10) //nolint:gosec // not negative
	s.fraction(int(nanos))
	s.dst = append(s.dst, 's', '"')
	return true
}
