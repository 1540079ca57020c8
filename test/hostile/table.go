package hostile

import (
	"fmt"
	"strings"
)

// The table of docs/SECURITY-MODEL.md stands between these lines.
const (
	tableBegin = "<!-- hostile: begin; written by make test-hostile HOSTILEFLAGS=-update -->"
	tableEnd   = "<!-- hostile: end -->"
	tableHead  = "| attack | door | measured | benign | attacked | bound |\n|---|---|---|---|---|---|\n"
)

// measure is one row of the table.
type measure struct {
	what, benign, measured, bound string
	kept                          bool
}

// measures returns what was measured of an attack, in the table's words.
func (a Attack) measures(o Outcome) (all []measure) {
	if a.Memory > 0 {
		m := measure{what: "memory", benign: "", measured: mib(o.Memory), bound: "at most " + mib(a.Memory), kept: o.Memory <= a.Memory}
		if a.Benign != nil {
			m.benign = mib(o.BenignMemory)
		}
		all = append(all, m)
	}
	if a.CPU > 0 {
		all = append(all, measure{
			what: "processor time", benign: fmt.Sprintf("%.0f ms", 1000*o.BenignCPU), measured: fmt.Sprintf("%.1f times", o.Ratio()),
			bound: fmt.Sprintf("at most %g times", a.CPU), kept: o.Ratio() <= a.CPU,
		})
	}
	if a.Innocent > 0 {
		all = append(all, measure{
			what: "innocent calls", measured: fmt.Sprintf("%.0f %%", 100*o.Innocent),
			bound: fmt.Sprintf("at least %.0f %%", 100*a.Innocent), kept: o.Innocent >= a.Innocent,
		})
	}
	if len(all) == 0 {
		all = append(all, measure{what: "promise", measured: "kept", bound: "kept", kept: true})
	}
	return all
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/MiB) }

// rows returns the rows of an attack. Without an outcome, what was measured is
// left out.
func (a Attack) rows(o Outcome) (rows []string) {
	for _, m := range a.measures(o) {
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", a.Name, a.Door, m.what, m.benign, m.measured, m.bound))
	}
	return rows
}

// promise is the list of attacks against one promise.
type promise struct {
	text    string
	attacks []Attack
}

// promises groups attacks by promise, in the order of first mention, without those
// that still succeed.
func promises(attacks []Attack) (all []promise) {
	at := map[string]int{}
	for _, a := range attacks {
		if a.Known != "" {
			continue
		}
		i, ok := at[a.Promise]
		if !ok {
			i = len(all)
			at[a.Promise] = i
			all = append(all, promise{text: a.Promise})
		}
		all[i].attacks = append(all[i].attacks, a)
	}
	return all
}

// Update returns the page with the table of these attacks. Rows of attacks without
// an outcome stay as they are.
func Update(page string, attacks []Attack, outcomes map[string]Outcome) (string, error) {
	before, table, after, err := cutTable(page)
	if err != nil {
		return "", err
	}
	old := rowsByKey(table)
	var b strings.Builder
	for _, p := range promises(attacks) {
		var rows []string
		for _, a := range p.attacks {
			o, played := outcomes[a.String()]
			for _, row := range a.rows(o) {
				if !played {
					row = old[rowKey(row)]
				}
				rows = append(rows, row)
			}
		}
		if text := strings.Join(rows, ""); text != "" {
			fmt.Fprintf(&b, "\n%s:\n\n%s%s", p.text, tableHead, text)
		}
	}
	return before + tableBegin + "\n" + b.String() + "\n" + tableEnd + after, nil
}

// Missing returns the rows that the page's table should have and has not, and the
// other way round.
func Missing(page string, attacks []Attack) (missing, stale []string, err error) {
	_, table, _, err := cutTable(page)
	if err != nil {
		return nil, nil, err
	}
	have := rowsByKey(table)
	for _, p := range promises(attacks) {
		for _, a := range p.attacks {
			for _, row := range a.rows(Outcome{}) {
				key := rowKey(row)
				if _, ok := have[key]; !ok {
					missing = append(missing, key)
				}
				delete(have, key)
			}
		}
	}
	for key := range have {
		stale = append(stale, key)
	}
	return missing, stale, nil
}

func cutTable(page string) (before, table, after string, err error) {
	before, rest, ok := strings.Cut(page, tableBegin)
	table, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return "", "", "", fmt.Errorf("the page has no table: want the lines %q and %q", tableBegin, tableEnd)
	}
	return before, table, after, nil
}

// rowsByKey returns the rows of the tables by what does not depend on a run.
func rowsByKey(table string) map[string]string {
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| attack |") {
			rows[rowKey(line)] = line
		}
	}
	return rows
}

// rowKey is a row's attack, door, measure and bound.
func rowKey(row string) string {
	cells := strings.Split(row, " | ")
	if len(cells) < 4 {
		return row
	}
	return strings.Join([]string{cells[0], cells[1], cells[2], cells[len(cells)-1]}, " | ")
}
