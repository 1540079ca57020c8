package shop

import (
	"bytes"
	_ "embed"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
)

//go:embed seed.json
var seedJSON []byte

// seedFile is what seed.json holds. Messages of the contract stand in it as a
// client of the REST API sees them.
type seedFile struct {
	Shelves    []message[*catalogv1.Shelf]       `json:"shelves"`
	Warehouses []message[*inventoryv1.Warehouse] `json:"warehouses"`
	Customers  []customer                        `json:"customers"`
	Models     []model                           `json:"models"`
	Opinions   []opinion                         `json:"opinions"`
	Nicknames  []string                          `json:"nicknames"` // of reviewers who are no customers
}

// customer is someone who has bought before.
type customer struct {
	Name    string                     `json:"name"` // resource name
	Address message[*ordersv1.Address] `json:"address"`
}

// model is a product before it has a size or a colour.
type model struct {
	Label     string    `json:"label"`
	Shelf     string    `json:"shelf"` // id
	Text      string    `json:"text"`
	Tags      []string  `json:"tags"`
	Material  string    `json:"material"`
	Origin    string    `json:"origin"`
	Cents     int64     `json:"cents"`     // price of the first variant
	Grams     int64     `json:"grams"`     // weight of the first variant; 0 for a download
	Attribute string    `json:"attribute"` // what its variants differ in
	Variants  []variant `json:"variants"`
}

// variant is one size or colour of a model.
type variant struct {
	Label      string `json:"label"`
	ExtraCents int64  `json:"extraCents"` // what it costs on top
}

// opinion is what someone thought.
type opinion struct {
	Rating int32  `json:"rating"`
	Title  string `json:"title"`
	Body   string `json:"body"`
}

// message is a message of the contract that is read from JSON.
type message[M proto.Message] struct{ M M }

// UnmarshalJSON reads the message as the gateway would.
func (m *message[M]) UnmarshalJSON(text []byte) error {
	m.M = m.M.ProtoReflect().New().Interface().(M) //nolint:forcetypeassert // a new message of a type has that type
	return protojson.Unmarshal(text, m.M)
}

// read decodes seed.json. A field that it does not know is an error.
func (f *seedFile) read(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(f)
}
