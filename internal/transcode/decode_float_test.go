package transcode

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// hardFloats are numbers at the edges of what floats hold, and some that
// strconv.ParseFloat is slow with.
func hardFloats() []string {
	hard := []string{
		"0", "-0", "0e-320", "-0.0e5", "1", "1e23", "8.5e22", "9007199254740993", "9007199254740992.5", "16777217", "33554433.5",
		"1e-320", "-1e-320", "4.9e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "2.470328229206232720882843964341e-324", "1e-323", "1e-330", "1e-331", "1e-400", "1e-99999999999",
		"2.2250738585072011e-308", "2.2250738585072012e-308", "2.2250738585072014e-308", "2.225073858507201136057409796709131975934819546351645648023426109724822222021076945516529523908135087914149158913039621106870086438694594645527657207407820621743379988141063267329253552286881372149012981122451451889849057222307285255133155755015914397476397983411801999323962548289017107081850690630666655994938275772572015763062690663332647565300009245888316433037779791869612049497390377829704905051080609940730262937128958950003583799967207254304360284078895771796150945516748243471030702609144621572289880258182545180325707018860872113128079512233426288368622321503775666622503982534335974568884423900265498198385487948292206894721689831099698365846814022854243330660339850886445804001034933970427567186443383770486037861622771738545623065874679014086723327636718751234567890123456789e-308",
		"1.17549435e-38", "1.1754942e-38", "1.4e-45", "7e-46", "7.1e-46", "1e-46", "3.4028235e38", "3.4028236e38", "3.40282356779733661637539395458142568447e38", "3.40282356779733661637539395458142568448e38",
		"1.7976931348623157e308", "1.7976931348623159e308", "1.797693134862315708145274237317043567981e308", "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880", "1e309", "1e310", "1e311", "1e9999999999",
		"0." + strings.Repeat("0", 400) + "1e400", "1" + strings.Repeat("0", 400) + "e-400", "0." + strings.Repeat("0", 900) + "5e600", strings.Repeat("9", 900) + "e-900", strings.Repeat("123456789", 120) + "e-1400",
		"5e-324", "0.1000000000000000055511151231257827021181583404541015625", "1.00000000000000011102230246251565404236316680908203125", "1.00000000000000011102230246251565404236316680908203124", "1.00000000000000011102230246251565404236316680908203126", "1.0000000596046447753906250000000000000000000001",
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		v := math.Float64frombits(r.Uint64())
		if r.IntN(2) == 0 {
			v = math.Float64frombits(r.Uint64() & (1<<52 - 1)) // subnormal
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		hard = append(hard, strconv.FormatFloat(v, 'e', r.IntN(30), 64), strconv.FormatFloat(float64(float32(v)*math.MaxFloat32), 'e', r.IntN(30), 64))
		f := math.Float32frombits(r.Uint32() & (1<<24 - 1))
		hard = append(hard, strconv.FormatFloat(float64(f), 'e', r.IntN(30), 64))
		halfway := (float64(f) + float64(math.Nextafter32(f, 1))) / 2
		hard = append(hard, strconv.FormatFloat(halfway, 'e', 200, 64))
	}
	return hard
}

func TestFloatsRoundAsStrconv(t *testing.T) {
	s := new(inState)
	for _, text := range hardFloats() {
		sameFloat(t, s, text)
	}
}

func FuzzFloatsRoundAsStrconv(f *testing.F) {
	for _, text := range hardFloats()[:60] {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) == 0 || scanNumber([]byte(text), 0) != len(text) {
			return
		}
		sameFloat(t, new(inState), text)
	})
}

func sameFloat(t *testing.T, s *inState, text string) {
	t.Helper()
	for _, size := range []int{64, 32} {
		want, err := oracle(text, size)
		got, ok := s.parseFloat([]byte(text), size)
		if ok != (err == nil) || ok && math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%.80s as a float of %d bits: got %v, %v; strconv says %v, %v", text, size, got, ok, want, err)
		}
		if d := s.decimal([]byte(text)); len(d.digits) > 0 { // whichever way parseFloat took
			got, ok := s.exact.round(d, size)
			if ok != (err == nil) || ok && got != math.Abs(want) {
				t.Errorf("%.80s rounded to %d bits: got %v, %v; strconv says %v, %v", text, size, got, ok, want, err)
			}
		}
	}
}

// oracle is strconv.ParseFloat, but where that loses digits of long whole numbers,
// as of Go 1.26: there it is a fraction of integers.
func oracle(text string, size int) (float64, error) {
	mantissa, exponent, _ := strings.Cut(text, "e")
	if whole, _, _ := strings.Cut(mantissa, "."); len(whole) <= 800 || len(exponent) > 5 {
		return strconv.ParseFloat(text, size)
	}
	exact, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, strconv.ErrSyntax
	}
	v, _ := exact.Float64()
	if size == 32 {
		f, _ := exact.Float32()
		v = float64(f)
	}
	if math.IsInf(v, 0) {
		return v, strconv.ErrRange
	}
	return v, nil
}

func BenchmarkParseFloat(b *testing.B) {
	for _, text := range []string{
		"3.14159", "1e-320", "1e-30", "5e-324", "1.17549421e-38", "1e-40", "9007199254740993", "16777217", "33554435", "1e23", "8.5e22", "1234567890123456789e-300", "12345678901234567890123e-300", "1e-330", "1e-400",
		"0.1000000000000000055511151231257827021181583404541015625", strings.Repeat("123456789", 80) + "e-1030",
	} {
		name := text[:min(len(text), 24)]
		for _, size := range []int{64, 32} {
			b.Run(name+"/"+strconv.Itoa(size)+"/ours", func(b *testing.B) {
				s := new(inState)
				num := []byte(text)
				b.ReportAllocs()
				for b.Loop() {
					s.parseFloat(num, size)
				}
			})
			b.Run(name+"/"+strconv.Itoa(size)+"/strconv", func(b *testing.B) {
				for b.Loop() {
					_, _ = strconv.ParseFloat(text, size)
				}
			})
		}
	}
}
