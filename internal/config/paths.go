package config

import (
	"path/filepath"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
)

// resolvePaths makes the relative paths of files begin at the folder of the
// configuration, so that it works from wherever the gateway is started.
func resolvePaths(c *configv1.Config, folder string) {
	for _, tls := range []*configv1.ServerTls{c.GetListeners().GetHttp().GetTls(), c.GetListeners().GetGrpc().GetTls(), c.GetListeners().GetAdmin().GetTls()} {
		if tls != nil {
			resolve(folder, &tls.CertFile, &tls.KeyFile, &tls.ClientCaFile)
		}
	}
	for _, u := range c.GetUpstreams() {
		if tls := u.GetTls(); tls != nil {
			resolve(folder, &tls.CaFile, &tls.CertFile, &tls.KeyFile)
		}
		if image, ok := u.GetSchema().GetSource().(*configv1.Schema_Image); ok {
			resolve(folder, &image.Image)
		}
	}
	for _, e := range c.GetExpose() {
		for i := range e.GetHttpFile() {
			resolve(folder, &e.HttpFile[i])
		}
	}
	for _, tls := range []*configv1.UpstreamTls{c.GetRedis().GetTls(), c.GetTracing().GetTls()} {
		if tls != nil {
			resolve(folder, &tls.CaFile, &tls.CertFile, &tls.KeyFile)
		}
	}
	for _, a := range c.GetAuthenticators() {
		switch kind := a.GetKind().(type) {
		case *policyv1.Authenticator_ApiKeys:
			resolve(folder, &kind.ApiKeys.File)
		case *policyv1.Authenticator_Basic:
			resolve(folder, &kind.Basic.File)
		case *policyv1.Authenticator_Jwt:
			if keys, ok := kind.Jwt.GetKeys().(*policyv1.Jwt_JwksFile); ok {
				resolve(folder, &keys.JwksFile)
			}
		}
	}
	if c.GetOpenapi() != nil {
		resolve(folder, &c.Openapi.File)
	}
}

func resolve(folder string, paths ...*string) {
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(folder, *p)
		}
	}
}
