package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// startLimit bounds the start of the gateway.
const startLimit = 20 * time.Second

// gateway is a running `gatehouse serve`.
type gateway struct {
	*process
	dir string // of its files, removed at its end
}

// configuration is what the gateway is started with; of its two doors for
// gRPC, one is open.
var configuration = template.Must(template.New("").Parse(`listeners:
  {{.Door}}:
    address: "127.0.0.1:0"
{{- if .TLS}}
    tls: {cert_file: {{.Dir}}/cert.pem, key_file: {{.Dir}}/key.pem{{if .ClientCA}}, client_ca_file: {{.Dir}}/client.pem{{end}}}
{{- end}}
  {{.Other}}: {disabled: true}
  admin: {disabled: true}
upstreams:
  - name: reference
    target: "passthrough:///{{.Upstream}}"
    schema: {image: {{printf "%q" .Image}}}
{{- if .ReceiveLimit}}
    # The limit is for requests; the answers tell what was asked, and are larger.
    max_receive_bytes: 16777216
{{- end}}
expose:
  # Backends are told of a timeout, which the suite must have set itself.
  - {select: "*", upstream: reference, policy: {auth: {public: true}, timeout: 0s}}
{{- if .ReceiveLimit}}
limits: {max_message_bytes: {{.ReceiveLimit}}, max_body_bytes: {{.ReceiveLimit}}}
{{- end}}
# Shorter than grace: a connection on which nothing was asked is waited for.
drain: {timeout: 1s}
log: {format: json, access: false}
`))

// startGateway starts Gatehouse in front of the upstream and tells where the
// tested door is.
func (a *Adapter) startGateway(ctx context.Context, req *Request, upstream string) (*gateway, *Response, error) {
	dir, err := os.MkdirTemp("", "gatehouse-conformance-")
	if err != nil {
		return nil, nil, err
	}
	g := &gateway{dir: dir}
	resp, err := a.serveIn(ctx, g, req, upstream)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return g, resp, nil
}

func (a *Adapter) serveIn(ctx context.Context, g *gateway, req *Request, upstream string) (*Response, error) {
	if err := a.writeFiles(g.dir, req, upstream); err != nil {
		return nil, err
	}
	addresses := make(chan string, 1)
	var err error
	cmd := exec.CommandContext(ctx, a.Gatehouse, "serve", "--config", filepath.Join(g.dir, "gatehouse.yaml"))
	g.process, err = start(cmd, &output{line: announced(a.Door, addresses)})
	if err != nil {
		return nil, err
	}
	select {
	case address := <-addresses:
		return response(address, req)
	case <-g.done:
		return nil, g.failed()
	case <-time.After(startLimit):
		return nil, fmt.Errorf("%s does not say within %v where it serves: %v", a.Gatehouse, startLimit, g.output)
	}
}

// announced looks for the line in which the gateway tells the addresses that
// it listens on, since only it knows which ports it got.
func announced(door string, found chan<- string) func([]byte) {
	return func(line []byte) {
		var entry map[string]any
		if json.Unmarshal(line, &entry) != nil || entry["msg"] != "serving" {
			return
		}
		if address, ok := entry[door].(string); ok {
			found <- address
		}
	}
}

func response(address string, req *Request) (*Response, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	resp := &Response{Host: host, Port: number}
	if req.UseTLS {
		resp.Cert = req.Cert
	}
	return resp, nil
}

// end waits for the gateway, which has been told to end, and wants it to have
// drained in good order.
func (g *gateway) end() error {
	<-g.done
	err := os.RemoveAll(g.dir)
	if g.err != nil {
		err = errors.Join(err, g.failed())
	}
	return err
}

func (a *Adapter) writeFiles(dir string, req *Request, upstream string) error {
	other := DoorHTTP
	if a.Door == DoorHTTP {
		other = DoorGRPC
	}
	var text strings.Builder
	err := configuration.Execute(&text, map[string]any{
		"Door": a.Door, "Other": other, "Dir": dir, "Upstream": upstream, "Image": a.Image,
		"TLS": req.UseTLS, "ClientCA": len(req.ClientCA) > 0, "ReceiveLimit": req.ReceiveLimit,
	})
	return errors.Join(err,
		os.WriteFile(filepath.Join(dir, "gatehouse.yaml"), []byte(text.String()), 0o600),
		os.WriteFile(filepath.Join(dir, "cert.pem"), req.Cert, 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), req.Key, 0o600),
		os.WriteFile(filepath.Join(dir, "client.pem"), req.ClientCA, 0o600))
}
