package hostile_test

import (
	"bytes"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

const promiseView = "What a policy looks into takes at most 40 times its bytes, and 64 KiB"

// looksInto is the policy of an RPC that lets strangers in by a condition over
// their request.
func looksInto(condition string) map[string]string {
	return map[string]string{"Once": "auth: {accept: [idp], anonymous: true, allow: '" + condition + "'}"}
}

// someIssuer is an authenticator, which a policy with a condition needs.
const someIssuer = `authenticators: [{name: idp, jwt: {issuer: "https://idp.example.com", audiences: [things], jwks_url: "https://127.0.0.1:9/jwks.json"}}]`

// looked is the bound of memory for requests that take so many bytes, and what is
// looked at in them, at a gateway that collects its garbage as it is shipped, for
// processor time is measured, too.
func looked(bytes int64) int64 { return 2*bytes + 16*hostile.MiB }

// viewAttacks send requests that are made of very many small parts to an RPC with a
// condition over the request.
func viewAttacks() []hostile.Attack {
	const items, structure = 8, 16
	small := hostile.Repeat(items, nil, bodySize/2)                                                  // messages of no byte
	json := append(protowire.AppendTag(nil, structure, protowire.BytesType), jsonOf(bodySize-20)...) // a list of null
	elements := func(message []byte) []byte { return hostile.Thing{Name: "a", More: message}.Wire() }
	of := func(name, condition string, memory int64, calls int, framed func([]byte) []byte, message []byte) hostile.Attack {
		header := hostile.GRPCHeader("Once")
		if strings.Contains(name, "gzip") {
			header = hostile.GRPCHeader("Once", "grpc-encoding", "gzip")
		}
		send := func(message []byte) func(*hostile.Target) error {
			return func(t *hostile.Target) error {
				conn, err := t.Dial(hostile.Native, hostile.H2{})
				if err != nil {
					return err
				}
				body, streams := framed(message), make([]*hostile.Stream, calls)
				if err := each(calls, func(i int) (err error) {
					streams[i], err = conn.Call(header, body)
					return err
				}); err != nil {
					return err
				}
				return each(calls, func(i int) error {
					_, err := streams[i].Wait()
					return err
				})
			}
		}
		return hostile.Attack{
			Name: name, Door: hostile.Native, Promise: promiseView, Policies: looksInto(condition), Config: someIssuer,
			Memory: memory, CPU: 10, Innocent: 0.9,
			Play:   send(elements(message)),
			Benign: send(elements(protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), bytes.Repeat([]byte("x"), len(message)-5)))),
		}
	}
	return []hostile.Attack{
		of("8 requests of two million items each, compressed by gzip", `request.name != "eve"`, looked(8*3*bodySize), 8, hostile.Gzipped, small),
		of("4 requests of two million items each", `request.name != "eve"`, looked(4*3*bodySize), 4, hostile.Framed, small),
		of("4 requests of two million items each, which the condition counts", `request.items.size() != 7`, looked(4*7*bodySize), 4, hostile.Framed, small),
		of("4 requests of a million JSON values each, which the condition looks into", `request.struct.a[0] == null || request.name == "a"`, looked(4*7*bodySize), 4, hostile.Framed, json),
	}
}

// jsonOf is a google.protobuf.Struct of about so many bytes, after its length: a
// list of null.
func jsonOf(size int) []byte {
	list := bytes.Repeat([]byte{0x0a, 0x02, 0x08, 0x00}, size/4)
	value := protowire.AppendBytes([]byte{0x32}, list)
	entry := protowire.AppendBytes([]byte{0x0a, 1, 'a', 0x12}, value)
	fields := protowire.AppendBytes([]byte{0x0a}, entry)
	return protowire.AppendBytes(nil, fields)
}
