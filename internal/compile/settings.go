package compile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/anypb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// settings are the configuration that is compiled.
type settings struct{ *config.File }

// exposureOf is the exposure of an RPC.
func (s settings) exposureOf(m *Method) *configv1.Exposure { return s.Config.GetExpose()[m.Exposure] }

// upstreamNamed returns nil for a name that no upstream has.
func (s settings) upstreamNamed(name string) *configv1.Upstream {
	for _, u := range s.Config.GetUpstreams() {
		if u.GetName() == name {
			return u
		}
	}
	return nil
}

// upstreamField is the path of a field of an upstream.
func (s settings) upstreamField(name, field string) string {
	for i, u := range s.Config.GetUpstreams() {
		if u.GetName() == name {
			return fmt.Sprintf("upstreams[%d].%s", i, field)
		}
	}
	return "upstreams"
}

// Place locates the mistakes in err, which are about the settings in a field.
func Place(file *config.File, field string, err error) error {
	var errs []error
	for _, e := range interceptors.FieldErrors(interceptors.Within(field, err)) {
		errs = append(errs, file.Errorf(e.Path, "%v", e.Err))
	}
	return errors.Join(errs...)
}

// shortList lists names, as many as one can read.
func shortList(names []string) string {
	const most = 8
	return bounded(names, most)
}

// bounded is shortList with a bound of its own.
func bounded(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// jsonOptions are the transcoder's: a profile, and what is said beside it.
func jsonOptions(c *configv1.Config) transcode.Options {
	j := c.GetJson()
	return transcode.Options{
		EmitDefaults:       j.GetEmitDefaults(),
		UseProtoNames:      j.GetProtoNames(),
		UseEnumNumbers:     j.GetEnumNumbers(),
		IgnoreUnknown:      j.GetIgnoreUnknownFields(),
		MaxDepth:           int(c.GetLimits().GetMaxDepth()),
		AllowQuery:         j.GetAllowQuery(),
		IgnoreUnknownQuery: j.GetIgnoreUnknownQuery(),
		MaxQueryParams:     int(c.GetLimits().GetMaxQueryParameters()),
		AnyMedia:           j.GetProfile() == configv1.Json_PROFILE_GRPC_GATEWAY,
	}
}

// newErrors makes the writer of error bodies.
func newErrors(c *configv1.Config, types *descriptors) (*edge.Errors, error) {
	formats := map[configv1.Errors_Format]edge.ErrorFormat{
		configv1.Errors_FORMAT_STATUS: edge.Status, configv1.Errors_FORMAT_PROBLEM: edge.Problem,
	}
	detail, err := transcode.NewCompiler(jsonOptions(c), types).Encoder((&anypb.Any{}).ProtoReflect().Descriptor())
	if err != nil {
		return nil, err
	}
	return &edge.Errors{Format: formats[c.GetErrors().GetFormat()], Detail: detail.Append}, nil
}

// Settings are what the doors share: they serve by the table that tables holds.
func Settings(tables *edge.Current, conf *configv1.Config) (*edge.Settings, error) {
	limits := conf.GetLimits()
	s := &edge.Settings{
		Table:        tables,
		MaxBody:      limits.GetMaxBodyBytes(),
		MaxMessage:   limits.GetMaxMessageBytes(),
		MaxHeaders:   int(limits.GetMaxHeaders()),
		WriteTimeout: limits.GetWriteTimeout().AsDuration(),
		Hosts:        call.ParseHosts(conf.GetListeners().GetHttp().GetHosts()),
		RequestID:    newRequestID,
	}
	for _, cidr := range conf.GetListeners().GetHttp().GetTrustedProxies() {
		p, err := config.ParseNetwork(cidr)
		if err != nil {
			return nil, err
		}
		s.Proxies = append(s.Proxies, p)
	}
	return s, nil
}

// requestIDBytes make an identifier as long as a trace's.
const requestIDBytes = 16

func newRequestID() string {
	var b [requestIDBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
