package cmd_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestGoldenMistakes: every mistake is reported with its position and a remedy. A case
// of mistakes.txt that has no upstreams of its own gets those of its first section.
func TestGoldenMistakes(t *testing.T) {
	t.Parallel()
	cases := regexp.MustCompile(`(?m)^-- (.*) --\n`)
	text := string(read(t, "mistakes.txt"))
	names, configs := cases.FindAllStringSubmatch(text, -1), cases.Split(text, -1)[1:]
	s := newSetting(t, "mistakes", "")
	other, incomplete := shopImage(t), shopImage(t)
	message(other, "shop.catalog.v1.GetProductRequest").Field[0].Number = new(int32(7))
	drop(service(other, "shop.catalog.v1.CatalogService"), "GetShelf")
	incomplete.File = incomplete.GetFile()[1:]
	s.write(t, "other.binpb", wire(t, other))
	s.write(t, "incomplete.binpb", wire(t, incomplete))
	var all strings.Builder
	for i, config := range configs[1:] {
		if !strings.HasPrefix(config, "upstreams:") {
			config = configs[0] + config
		}
		s.write(t, configName, []byte(config))
		fmt.Fprintf(&all, "-- %s --\n%s\n", names[i+1][1], s.run(t, "check"))
	}
	golden(t, "mistakes.golden", all.String())
}
