package shop

import "strings"

// maxIDLength is that of RFC 1034, which AIP-122 recommends.
const maxIDLength = 63

// checkID notes what is wrong with an id that a caller chose (AIP-122).
func checkID(wrong *violations, field, id string) {
	ok := id != "" && len(id) <= maxIDLength && isLower(id[0]) && id[len(id)-1] != '-'
	for i := range len(id) {
		ok = ok && (isLower(id[i]) || isDigit(id[i]) || id[i] == '-')
	}
	if !ok {
		wrong.addf(field, "got %q, want 1 to %d lower-case letters, digits and dashes, beginning with a letter",
			id, maxIDLength)
	}
}

// slug makes an id of a label; it is empty if the label has no letter.
func slug(label string) string {
	var b strings.Builder
	for i := 0; i < len(label) && b.Len() < maxIDLength-4; i++ {
		switch c := label[i] | 0x20; {
		case isLower(c), isDigit(label[i]) && b.Len() > 0:
			b.WriteByte(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// ids cuts a resource name of a pattern such as "warehouses/*/stock/*" into its
// ids; it tells whether the name has that pattern.
func ids(name, pattern string) ([]string, bool) {
	parts, wanted := strings.Split(name, "/"), strings.Split(pattern, "/")
	if len(parts) != len(wanted) {
		return nil, false
	}
	var list []string
	for i, want := range wanted {
		switch {
		case want == "*" && parts[i] != "":
			list = append(list, parts[i])
		case want != parts[i]:
			return nil, false
		}
	}
	return list, true
}
