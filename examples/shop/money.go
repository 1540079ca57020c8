package shop

import (
	"google.golang.org/genproto/googleapis/type/money"
)

// home is the currency the shop keeps its books in.
const home = "EUR"

// rates are how many ten-thousandths of a currency's unit a euro buys. A demo
// does not follow the exchanges.
var rates = map[string]int64{"EUR": 10_000, "USD": 10_850, "GBP": 8_470, "CHF": 9_520, "SEK": 111_400}

// euros makes an amount of cents.
func euros(cents int64) *money.Money { return amount(home, cents) }

// amount makes an amount of hundredths of a currency's unit.
func amount(currency string, cents int64) *money.Money {
	return &money.Money{CurrencyCode: currency, Units: cents / 100, Nanos: int32(cents%100) * 10_000_000}
}

// cents counts the hundredths of an amount; what is smaller is dropped.
func cents(m *money.Money) int64 {
	return m.GetUnits()*100 + int64(m.GetNanos())/10_000_000
}

// convert turns euros into another currency, rounded to hundredths. An empty
// currency means euros. It tells whether the shop knows the currency.
func convert(m *money.Money, currency string) (*money.Money, bool) {
	if currency == "" || currency == home {
		return m, true
	}
	rate, ok := rates[currency]
	if !ok {
		return nil, false
	}
	return amount(currency, (cents(m)*rate+5_000)/10_000), true
}

// checkPrice notes what is wrong with a price that a caller sets.
func checkPrice(v *violations, field string, m *money.Money) {
	const most = 1_000_000_00 // a million euros, in cents
	switch {
	case m.GetCurrencyCode() != home:
		v.addf(field+".currency_code", "got %q, want %s", m.GetCurrencyCode(), home)
	case m.GetNanos() < 0 || m.GetNanos() > 999_999_999:
		v.addf(field+".nanos", "got %d, want 0 to 999999999", m.GetNanos())
	case m.GetUnits() < 0 || m.GetUnits() > most/100:
		v.addf(field+".units", "got %d, want 0 to %d", m.GetUnits(), most/100)
	}
}
