package deploy_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// board is what a test needs to know of Grafana's model.
type board struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []boardPanel
}

type boardPanel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ UID string }
	Targets     []struct{ Expr, LegendFormat string }
}

func dashboard(t *testing.T) board {
	t.Helper()
	var b board
	if err := json.Unmarshal([]byte(read(t, "deploy", "observability", "dashboard.json")), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

var labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

// fill writes an expression as Grafana sends it.
func fill(expr string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$job", "gatehouse", "$instance", ".*", "$rpc", ".*").Replace(expr)
}

func TestDashboard(t *testing.T) {
	b := dashboard(t)
	if b.Title != "Gatehouse" || b.UID == "" || b.SchemaVersion == 0 {
		t.Errorf("it has no title, id or version: %q, %q, %d", b.Title, b.UID, b.SchemaVersion)
	}
	text := read(t, "deploy", "observability", "dashboard.json")
	variables := map[string]bool{"__rate_interval": true}
	for _, v := range b.Templating.List {
		variables[v.Name] = true
		if v.Type == "query" && !labelValues.MatchString(v.Definition) {
			t.Errorf("variable %s: %q", v.Name, v.Definition)
		}
		if !strings.Contains(text, "$"+v.Name) && !strings.Contains(text, "${"+v.Name+"}") {
			t.Errorf("variable %s is not used", v.Name)
		}
	}
	for _, name := range []string{"datasource", "job", "instance", "rpc"} {
		if !variables[name] {
			t.Errorf("there is no variable %s", name)
		}
	}
	for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(text, -1) {
		if m[1] != "__all" && !variables[m[1]] {
			t.Errorf("%s is no variable", m[0])
		}
	}
	checkPanels(t, b.Panels)
}

func checkPanels(t *testing.T, panels []boardPanel) {
	t.Helper()
	type cell struct{ x, y int }
	taken, ids := map[cell]string{}, map[int]bool{}
	for _, p := range panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: the number is taken, or it has no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s is off the right edge", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := cell{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		if p.Type != "row" && (len(p.Targets) == 0 || p.Datasource.UID != "${datasource}") {
			t.Errorf("%s shows nothing, or not of the chosen source", p.Title)
		}
	}
}
