package gateway

import (
	"crypto/tls"
	"encoding/json"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/anypb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/files"
	"github.com/gatehouse-dev/gatehouse/internal/logging"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// newParts makes what the policies share. The log is nil if somebody else writes
// what is logged.
func newParts(o Options, reg prometheus.Registerer) (p parts, _ *logging.Log, err error) {
	conf := o.Config.Config.GetLog()
	p = parts{log: o.Log, access: o.Log, custom: o.Custom, link: o.link}
	if p.link == nil {
		p.link = interceptors.Chain
	}
	var log *logging.Log
	if o.Log == nil {
		if log, err = logging.New(conf, o.LogTo, reg); err != nil {
			return p, nil, err
		}
		p.log, p.access, p.admitLine = log.Own(), log.Calls(), log.Admit
	}
	if !conf.GetAccess() {
		p.access = nil
	}
	return p, log, nil
}

// dial connects to one upstream as configured.
func (g *Gateway) dial(u *configv1.Upstream, secure *certs.Client) (*upstream.Upstream, error) {
	o := upstream.Options{
		Name:             u.GetName(),
		Target:           u.GetTarget(),
		Authority:        u.GetAuthority(),
		Credentials:      credentialsOf(secure),
		ServerName:       u.GetTls().GetServerName(),
		KeepaliveTime:    u.GetKeepalive().GetTime().AsDuration(),
		KeepaliveTimeout: u.GetKeepalive().GetTimeout().AsDuration(),
		ConnectTimeout:   u.GetConnectTimeout().AsDuration(),
		MaxReceive:       int(u.GetMaxReceiveBytes()),
		UserAgent:        "gatehouse/" + g.version,
		Balancing:        balancing(u.GetBalancing()),
		Outliers:         outliers(u.GetOutliers()),
		MaxStreamAge:     u.GetMaxStreamAge().AsDuration(),
		Memory:           g.memory,
		Dial:             g.parts.tracing.DialOptions(),
	}
	for _, a := range u.GetAddresses() {
		o.Addresses = append(o.Addresses, upstream.Address{Address: a.GetAddress(), Weight: a.GetWeight()})
	}
	if h := u.GetHealthCheck(); h != nil && !h.GetDisabled() {
		o.Health = &upstream.Health{Service: h.GetService()}
	}
	return upstream.Dial(o)
}

func balancing(b *configv1.Balancing) upstream.Balancing {
	kinds := map[configv1.Balancing_Kind]upstream.Kind{
		configv1.Balancing_KIND_LEAST_REQUEST: upstream.LeastRequest, configv1.Balancing_KIND_WEIGHTED: upstream.Weighted,
		configv1.Balancing_KIND_RING_HASH: upstream.RingHash,
	}
	return upstream.Balancing{
		Kind: kinds[b.GetKind()], Connections: int(b.GetConnections()),
		SlowStart: b.GetSlowStart().AsDuration(), Refresh: b.GetRefresh().AsDuration(),
	}
}

func outliers(o *configv1.Outliers) *upstream.Outliers {
	if o == nil {
		return nil
	}
	return &upstream.Outliers{
		Interval: o.GetInterval().AsDuration(), BaseEjectionTime: o.GetBaseEjectionTime().AsDuration(),
		MaxEjectionTime: o.GetMaxEjectionTime().AsDuration(), MaxEjectionPercent: o.GetMaxEjectionPercent(),
		FailurePercentage: o.GetFailurePercentage(), SuccessRateStdev: o.GetSuccessRateStdev(),
		MinimumCalls: o.GetMinimumCalls(), MinimumReplicas: o.GetMinimumReplicas(),
	}
}

// clientTLS is nil for an upstream in the clear.
func clientTLS(store *certs.Store, t *configv1.UpstreamTls) (*certs.Client, error) {
	if t == nil {
		return nil, nil // nil is the meaning: no TLS
	}
	return store.Client(certs.ClientFiles{CA: t.GetCaFile(), Cert: t.GetCertFile(), Key: t.GetKeyFile(), ServerName: t.GetServerName()})
}

// credentialsOf is nil for connections in the clear.
func credentialsOf(c *certs.Client) credentials.TransportCredentials {
	if c == nil {
		return nil
	}
	return c.Credentials()
}

func serverTLS(store *certs.Store, t *configv1.ServerTls, protocols []string) (*tls.Config, error) {
	if t == nil {
		return nil, nil // nil is the meaning: no TLS
	}
	minVersion := uint16(tls.VersionTLS12)
	if t.GetMinVersion() == configv1.ServerTls_VERSION_1_3 {
		minVersion = tls.VersionTLS13
	}
	return store.Server(certs.ServerFiles{
		Cert: t.GetCertFile(), Key: t.GetKeyFile(), ClientCA: t.GetClientCaFile(), MinVersion: minVersion, Protocols: protocols,
	})
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

// errors makes the writer of error bodies. Details may be of any type that an
// upstream's contract has, or of google.rpc's own.
func (b *builder) errors() (*edge.Errors, error) {
	formats := map[configv1.Errors_Format]edge.ErrorFormat{
		configv1.Errors_FORMAT_STATUS: edge.Status, configv1.Errors_FORMAT_PROBLEM: edge.Problem,
	}
	detail, err := transcode.NewCompiler(jsonOptions(b.file.Config), b.contract).Encoder((&anypb.Any{}).ProtoReflect().Descriptor())
	if err != nil {
		return nil, err
	}
	return &edge.Errors{Format: formats[b.file.Config.GetErrors().GetFormat()], Detail: detail.Append}, nil
}

// settings are what the edges share: they serve by the table that tables holds.
func settings(tables *edge.Current, conf *configv1.Config) (*edge.Settings, error) {
	limits := conf.GetLimits()
	s := &edge.Settings{
		Table:        tables,
		MaxBody:      limits.GetMaxBodyBytes(),
		MaxMessage:   limits.GetMaxMessageBytes(),
		MaxHeaders:   int(limits.GetMaxHeaders()),
		Stall:        limits.GetStreamIdleTimeout().AsDuration(),
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

// maxDocumentBytes bounds an OpenAPI document.
const maxDocumentBytes = 64 << 20

// openAPI is the document at /openapi.json.
func openAPI(file *config.File, otherwise []byte) ([]byte, error) {
	name := file.Config.GetOpenapi().GetFile()
	if name == "" {
		return otherwise, nil
	}
	doc, err := files.Read(name, maxDocumentBytes)
	if err != nil {
		return nil, file.Errorf("openapi.file", "%v", err)
	}
	var head struct{ OpenAPI, Swagger string }
	switch err := json.Unmarshal(doc, &head); {
	case err != nil:
		return nil, file.Errorf("openapi.file", "%s is not an OpenAPI document in JSON: %v", name, err)
	case head.OpenAPI == "" && head.Swagger == "":
		return nil, file.Errorf("openapi.file", `%s is not an OpenAPI document: want a JSON object with a member such as "openapi": "3.1.0"`, name)
	}
	return doc, nil
}
