package edge_test

import (
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzVersionNames: whatever a header says, the answer is of one version of the
// list, or 400. What the standard library reads as one media type with a version
// is read the same here.
func FuzzVersionNames(f *testing.F) {
	for _, w := range ways {
		header := [2]string{}
		for _, h := range w.header {
			name, value, _ := strings.Cut(h, ": ")
			header[map[bool]int{true: 0, false: 1}[name == "X-API-Version"]] = value
		}
		f.Add(header[0], header[1])
	}
	f.Add("", `a/b; version="v\2"`)
	f.Add("", `a/b; x="\",;version=v1"; version=v2`)
	h := serving(f, 2)
	f.Fuzz(func(t *testing.T, name, accept string) {
		r := request("/products/mug", name)
		r.Header["Accept"] = []string{accept}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		served := w.Header().Get("X-Api-Version")
		switch {
		case w.Code == http.StatusOK && (served == "v1" || served == "v2"):
		case w.Code == http.StatusBadRequest:
			return
		default:
			t.Fatalf("%q, %q: %d, version %q", name, accept, w.Code, served)
		}
		if said := strings.Trim(name, " \t"); name != "" && served != said {
			t.Errorf("header %q: served %s", name, served)
		}
		_, params, err := mime.ParseMediaType(accept)
		if v, ok := params["version"]; err == nil && ok && !strings.ContainsAny(accept, "*,") && served != v {
			t.Errorf("accept %q names %q: served %s", accept, v, served)
		}
	})
}
