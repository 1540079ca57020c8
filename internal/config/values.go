package config

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Values are all fields of the configuration, by their paths, as [File.Print]
// writes them: what was substituted is not shown.
func (f *File) Values() map[string]string {
	values := map[string]string{}
	flatten(f.mapping(f.Config.ProtoReflect(), ""), "", values)
	return values
}

// Values are all fields of the policy, by their paths.
func (e *Effective) Values() map[string]string {
	values := map[string]string{}
	flatten((&File{}).mapping(e.Policy.ProtoReflect(), ""), "", values)
	return values
}

func flatten(n *yaml.Node, path string, into map[string]string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			flatten(n.Content[i+1], joinPath(path, n.Content[i].Value), into)
		}
		if len(n.Content) == 0 && path != "" {
			into[path] = "{}"
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			flatten(item, fmt.Sprintf("%s[%d]", path, i), into)
		}
	default:
		into[path] = n.Value
	}
}
