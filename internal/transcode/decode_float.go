package transcode

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"sync"
)

// strconv.ParseFloat is fast where 64 bits of the digits and a table of powers
// decide, and takes up to 15 µs where they do not: for numbers of more than 19
// digits, and for the subnormal ones. A body of such numbers would cost some
// hundred times what another of its size does. Those go to [exactFloat], which
// takes less than a microsecond and rounds to the same bits.

// decimal is the number 0.DIGITS * 10^point, positive. Its digits have no zeros in
// front.
type decimal struct {
	digits []byte
	point  int
	// sticky says that digits were left out that are not all zeros.
	sticky bool
}

const (
	// fastDigits is how many digits strconv.ParseFloat reads without a fallback.
	fastDigits = 19
	// maxMantissa is more than the 767 digits that the number halfway between
	// two doubles may have.
	maxMantissa = 800
	// maxPoint and minPoint are beyond what is not infinite or zero as a double.
	maxPoint, minPoint = 310, -330
)

// parseFloat returns the value of a JSON number as a float of size bits, and
// false if it is too large for one.
func (s *inState) parseFloat(num []byte, size int) (float64, bool) {
	if v, n := plainWhole(num); n == len(num) {
		f := float64(v.mag)
		if size == 32 {
			f = float64(float32(v.mag))
		}
		if v.neg {
			f = -f
		}
		return f, true
	}
	if len(num) > fastDigits || num[len(num)-1]-'0' > 9 || hasExponent(num) {
		d := s.decimal(num)
		least := -306 // no double of 10^(least-1) and above is subnormal
		if size == 32 {
			least = -36
		}
		if n := len(d.digits); n > 0 && (n > fastDigits || d.point < least) {
			f, ok := s.exact.round(d, size)
			if num[0] == '-' {
				f = -f
			}
			return f, ok
		}
	}
	f, err := strconv.ParseFloat(string(num), size)
	return f, err == nil // the spelling is known to be right
}

func hasExponent(num []byte) bool {
	for _, c := range num {
		if c|0x20 == 'e' {
			return true
		}
	}
	return false
}

// decimal takes a JSON number apart, but for its sign. The digits are valid until
// the next call.
func (s *inState) decimal(num []byte) (d decimal) {
	d.digits = s.exact.digits[:0]
	i, fraction := 0, false
	if num[0] == '-' {
		i = 1
	}
loop:
	for ; i < len(num); i++ {
		switch c := num[i]; {
		case c == '.':
			fraction = true
			continue
		case c-'0' > 9:
			break loop
		case c == '0' && len(d.digits) == 0:
			// a zero in front
		case len(d.digits) < maxMantissa:
			d.digits = append(d.digits, c)
		default:
			d.sticky = d.sticky || c != '0'
		}
		if fraction && len(d.digits) == 0 {
			d.point--
		} else if !fraction && len(d.digits) > 0 {
			d.point++
		}
	}
	s.exact.digits = d.digits
	if i < len(num) {
		// What ParseInt cannot hold it returns as the largest or least number.
		exp, _ := strconv.ParseInt(string(num[i+1:]), 10, 32)
		d.point += int(exp)
	}
	return d
}

// exactFloat rounds decimal numbers of any length to binary ones, by division of
// integers. It keeps memory from one call to the next.
type exactFloat struct {
	digits        []byte
	num, den      big.Int
	quo, rem, one big.Int
}

// round returns d rounded to the nearest float of size bits, to the even one of
// two; false if it is too large.
func (x *exactFloat) round(d decimal, size int) (float64, bool) {
	precision, least := 53, -1074
	if size == 32 {
		precision, least = 24, -149
	}
	switch {
	case d.point > maxPoint:
		return 0, false
	case d.point < minPoint:
		return 0, true
	}
	x.setDigits(d.digits)
	exp := d.point - len(d.digits)
	if d.sticky { // no number halfway has so many digits, so another stands for the rest
		x.num.Mul(&x.num, x.one.SetUint64(10))
		x.num.Add(&x.num, x.one.SetUint64(1))
		exp--
	}
	x.setPower(max(-exp, 0), &x.den)
	if exp > 0 {
		x.setPower(exp, &x.quo)
		x.num.Mul(&x.num, &x.quo)
	}
	// Now d is num/den * 2^exp. The quotient is made to have two or three bits
	// more than the float.
	shift := precision + 2 - x.num.BitLen() + x.den.BitLen()
	if shift > 0 {
		x.num.Lsh(&x.num, uint(shift))
	} else {
		x.den.Lsh(&x.den, uint(-shift))
	}
	x.quo.QuoRem(&x.num, &x.den, &x.rem)
	q := x.quo.Uint64()
	exp -= shift
	last := max(exp+bits.Len64(q)-precision, least) // the exponent of the float's last bit
	f := math.Ldexp(float64(roundOff(q, last-exp, x.rem.Sign() != 0)), last)
	return f, f <= math.MaxFloat64 && (size == 64 || f <= math.MaxFloat32)
}

// roundOff returns q / 2^drop to the nearest integer, or to the even one of two.
// sticky says that the number is a little above q.
func roundOff(q uint64, drop int, sticky bool) uint64 {
	if drop > 63 {
		return 0
	}
	m, rest, half := q>>drop, q&(1<<drop-1), uint64(1)<<(drop-1)
	if rest > half || rest == half && (sticky || m&1 == 1) {
		m++
	}
	return m
}

// setDigits sets num to the integer that the digits are.
func (x *exactFloat) setDigits(digits []byte) {
	x.num.SetUint64(0)
	for len(digits) > 0 {
		part := digits[:min(len(digits), fastDigits)]
		digits = digits[len(part):]
		v, scale := uint64(0), uint64(1)
		for _, c := range part {
			v, scale = v*10+uint64(c-'0'), scale*10
		}
		x.num.Mul(&x.num, x.one.SetUint64(scale))
		x.num.Add(&x.num, x.one.SetUint64(v))
	}
}

// fiveStep is the largest power of 5 in 64 bits.
const fiveStep = 27

// fives are the powers 5^(fiveStep*i), as far as a number needs them.
var fives = sync.OnceValue(func() []big.Int {
	all := make([]big.Int, (maxMantissa+1-minPoint)/fiveStep+1)
	all[0].SetUint64(1)
	step := new(big.Int).SetUint64(pow5(fiveStep))
	for i := range all[1:] {
		all[i+1].Mul(&all[i], step)
	}
	return all
})

// setPower sets into to 5^n.
func (x *exactFloat) setPower(n int, into *big.Int) {
	into.Mul(&fives()[n/fiveStep], x.one.SetUint64(pow5(n%fiveStep)))
}

func pow5(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 5
	}
	return p
}
