package openapi

import "encoding/json"

// schema is a JSON Schema of draft 2020-12, as far as messages need it.
type schema struct {
	Ref              string           `json:"$ref,omitempty"`
	Type             any              `json:"type,omitempty"` // a string, or a list with "null"
	Format           string           `json:"format,omitempty"`
	ContentEncoding  string           `json:"contentEncoding,omitempty"`
	Description      string           `json:"description,omitempty"`
	Deprecated       bool             `json:"deprecated,omitempty"`
	ReadOnly         bool             `json:"readOnly,omitempty"`
	WriteOnly        bool             `json:"writeOnly,omitempty"`
	Const            any              `json:"const,omitempty"`
	Enum             []any            `json:"enum,omitempty"`
	EnumNames        []string         `json:"x-enum-varnames,omitempty"`
	Pattern          string           `json:"pattern,omitempty"`
	MinLength        uint64           `json:"minLength,omitempty"`
	MaxLength        *uint64          `json:"maxLength,omitempty"`
	Minimum          any              `json:"minimum,omitempty"`
	ExclusiveMinimum any              `json:"exclusiveMinimum,omitempty"`
	Maximum          any              `json:"maximum,omitempty"`
	ExclusiveMaximum any              `json:"exclusiveMaximum,omitempty"`
	Items            *schema          `json:"items,omitempty"`
	MinItems         uint64           `json:"minItems,omitempty"`
	MaxItems         *uint64          `json:"maxItems,omitempty"`
	UniqueItems      bool             `json:"uniqueItems,omitempty"`
	Properties       members[*schema] `json:"properties,omitempty"`
	PatternProps     members[*schema] `json:"patternProperties,omitempty"`
	PropertyNames    *schema          `json:"propertyNames,omitempty"`
	Additional       any              `json:"additionalProperties,omitempty"` // a bool or a schema
	Required         []string         `json:"required,omitempty"`
	MinProperties    uint64           `json:"minProperties,omitempty"`
	MaxProperties    *uint64          `json:"maxProperties,omitempty"`
	DependentSchemas members[*schema] `json:"dependentSchemas,omitempty"`
	AnyOf            []*schema        `json:"anyOf,omitempty"`
	Not              *schema          `json:"not,omitempty"`

	*additions `json:",inline"`

	to *component // what Ref names; it is written once all names are known
}

// additions are what only annotations say of a value. Most schemas have none.
type additions struct {
	Title      string            `json:"title,omitempty"`
	Docs       *externalDocs     `json:"externalDocs,omitempty"`
	Examples   []json.RawMessage `json:"examples,omitempty"`
	Extensions extensions        `json:",inline"`
}

const (
	typeString  = "string"
	typeInteger = "integer"
	typeNumber  = "number"
	typeBoolean = "boolean"
	typeObject  = "object"
	typeArray   = "array"
	typeNull    = "null"
)

// nullable is a schema that takes null too.
func nullable(s *schema) *schema {
	switch t := s.Type.(type) {
	case string:
		if t == typeNull {
			return s
		}
		s.Type = []string{t, typeNull}
		if s.Enum != nil {
			s.Enum = append(s.Enum, nil)
		}
		return s
	case nil:
		if s.to == nil {
			return s // takes everything
		}
		outer := *s
		outer.Ref, outer.to = "", nil
		s.bare()
		outer.AnyOf = []*schema{s, {Type: typeNull}}
		return &outer
	default:
		return s
	}
}
