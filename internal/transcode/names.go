package transcode

import "google.golang.org/protobuf/reflect/protoreflect"

// jsonNames returns the names in JSON of a message's fields, by index. Fields
// with one name in JSON, which proto2 allows (event_type and eventType), keep
// their proto names: two members of one name would be read as one.
func jsonNames(md protoreflect.MessageDescriptor) []string {
	fds := md.Fields()
	names := make([]string, fds.Len())
	for i := range names {
		names[i] = fds.Get(i).JSONName()
	}
	// A proto name may be the JSON name of a third field, which then keeps its
	// proto name too.
	for changed := true; changed; {
		changed = false
		owners := make(map[string]int, len(names))
		for _, name := range names {
			owners[name]++
		}
		for i, name := range names {
			if own := fds.Get(i).TextName(); owners[name] > 1 && name != own {
				names[i], changed = own, true
			}
		}
	}
	return names
}

// jsonName returns the name of one field in JSON.
func jsonName(fd protoreflect.FieldDescriptor) string {
	if fd.IsExtension() {
		return fd.JSONName()
	}
	return jsonNames(fd.ContainingMessage())[fd.Index()]
}

// SharedJSONName returns the first name in JSON that several fields of a message
// ask for, and the proto names of these fields, which they keep in JSON; "" if
// there is none.
func SharedJSONName(md protoreflect.MessageDescriptor) (name string, fields []string) {
	byName := map[string][]string{}
	fds := md.Fields()
	for i := range fds.Len() {
		name := fds.Get(i).JSONName()
		byName[name] = append(byName[name], fds.Get(i).TextName())
	}
	for i := range fds.Len() {
		if name := fds.Get(i).JSONName(); len(byName[name]) > 1 {
			return name, byName[name]
		}
	}
	return "", nil
}

// FieldNames returns the names in JSON of a message's fields, by index, as an encoder
// with these options writes them.
func (o *Options) FieldNames(md protoreflect.MessageDescriptor) []string {
	if !o.UseProtoNames {
		return jsonNames(md)
	}
	fds := md.Fields()
	names := make([]string, fds.Len())
	for i := range names {
		names[i] = fds.Get(i).TextName()
	}
	return names
}
