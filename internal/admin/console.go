package admin

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gatehouse-dev/gatehouse/internal/console"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
)

// openAPI serves the OpenAPI document of a version, in a format. A document that the
// configuration names takes the place of the one without a version in its format, but
// for those who ask for the gateway's own.
func (a *Admin) openAPI(format openapi.Format) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query() // FormValue would read a body too
		table, version := a.Table(), query.Get("version")
		isOwn := query.Get("own") == "true"
		if given := table.GivenOpenAPI; given != nil && version == "" && format == given.Format && !isOwn {
			page := &edge.Page{Body: given.Text, ContentType: format.MediaType()}
			page.ServeHTTP(w, r)
			return
		}
		doc, err := table.OpenAPI.Write(version, format)
		if err != nil {
			status := http.StatusInternalServerError
			if _, unknown := errors.AsType[*openapi.VersionError](err); unknown {
				status = http.StatusNotFound
			}
			http.Error(w, err.Error(), status)
			return
		}
		page := &edge.Page{Body: doc.Text, ContentType: format.MediaType(), ETag: doc.ETag}
		page.ServeHTTP(w, r)
	}
}

// consolePath is where the console is on the admin listener.
const consolePath = "/docs"

// console serves the console and its scripts. Calls go to the servers of the
// configuration, or else to the HTTP listener. That is another origin, so the page can
// call only where the configuration of CORS has the admin listener's own.
func (a *Admin) console(w http.ResponseWriter, r *http.Request) {
	table := a.Table()
	conf := table.File.Config.GetOpenapi()
	c := &console.Console{Path: consolePath, Title: conf.GetTitle(), Document: "/openapi.json", Versions: table.OpenAPI.Versions()}
	for _, s := range conf.GetServers() {
		c.Called = append(c.Called, s.GetUrl())
	}
	if len(c.Called) == 0 {
		c.Server = a.server(r)
		c.Called = []string{c.Server}
	}
	c.ReadOnly = c.Called[0] == "" || !table.Edge.CORS.Allows(scheme(r.TLS != nil)+r.Host)
	page, err := c.Pages()[r.URL.Path]("")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	page.ServeHTTP(w, r)
}

// server is the URL of the HTTP listener, "" if there is none. Where it listens on all
// addresses, it is the one by which the client found the admin listener.
func (a *Admin) server(r *http.Request) string {
	host, port, err := net.SplitHostPort(a.HTTP())
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		if host, _, err = net.SplitHostPort(r.Host); err != nil {
			host = strings.Trim(r.Host, "[]") // without a port
		}
	}
	return scheme(a.Table().File.Config.GetListeners().GetHttp().GetTls() != nil) + net.JoinHostPort(host, port)
}

func scheme(secure bool) string {
	if secure {
		return "https://"
	}
	return "http://"
}
