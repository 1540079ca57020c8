package reflection

import "google.golang.org/protobuf/reflect/protoregistry"

// Files has all that is shown.
func (c *Contract) Files() *protoregistry.Files { return c.files }
