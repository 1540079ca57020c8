package compile

import (
	"fmt"
	"maps"
	"slices"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
)

// weakPromises warns of at_most_once without Redis where somebody asked for it: a
// gateway forgets the keys when its process ends.
func (b *Builder) weakPromises() []string {
	rpcs := map[int][]string{} // by exposure
	for _, e := range b.exposed {
		p := e.Effective.Policy.GetIdempotency()
		asked := e.Effective.Origin["idempotency.at_most_once"] != "default"
		if config.IsEnabled(p) && asked && p.GetAtMostOnce() && p.GetStore() != policyv1.Store_STORE_REDIS {
			rpcs[e.Exposure] = append(rpcs[e.Exposure], string(e.Desc.FullName()))
		}
	}
	var list []string
	for _, i := range slices.Sorted(maps.Keys(rpcs)) {
		list = append(list, b.file.Errorf(fmt.Sprintf("expose[%d].policy.idempotency.at_most_once", i),
			"with store: local a call is executed again when it is repeated after a restart, or at another replica; use store: redis (of %s)", several(rpcs[i])).Error())
	}
	return list
}
