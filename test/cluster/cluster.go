// Package cluster runs Gatehouse as a cluster on one machine and does it harm:
// three gateways, three replicas of each of two backends, and Redis, all of them
// processes; between them links that can be cut. Clients call all the while, each
// call with a nonce of its own, and in the end every answer and every execution is
// accounted for.
//
// # What is done to it
//
// Gateways, replicas and Redis are killed (SIGKILL) and started again, and paused
// (SIGSTOP) for a while. Links, those to Redis and to clients included, pass
// nothing for a while, in both directions or in one; what was sent meanwhile
// arrives afterwards, or the connections are reset. Links are reset, and are slow.
// It happens in rounds, with a moment of rest after each, by a schedule that a
// seed decides. In a round all of it may happen at once, with one exception, the
// fault model: one gateway, one replica of each backend, and the links among them
// and to the clients, chosen anew for each round, are spared. Redis never is.
//
// Redis has `appendonly yes` and `appendfsync always`, as the documentation wants
// it where limits and keys matter: without a log, a Redis that restarts has
// forgotten who took what, each bucket is full again, and keys are free.
//
// # What is held
//
//   - No wrong answer: an answer has the nonce of its call, a hash of the request
//     as the backend got it and of the RPC, and names an execution that no other
//     call's answer names and, if it has side effects, that stands in a replica's
//     journal under that nonce. An error that a cluster in trouble has no cause to
//     give is a wrong answer too.
//   - No duplicate of an unsafe call: in the journals of all replicas no nonce of
//     one is found twice. Order calls carry an Idempotency-Key, which the policy
//     keeps in Redis, and clients send them again, with that key, after any failure,
//     at whichever gateway. Fire calls carry none and are sent once.
//   - Idempotent calls lost: 0. A client sends a Read or Put again, with its nonce,
//     to another gateway, when it had no answer, or UNAVAILABLE or
//     DEADLINE_EXCEEDED. One that has no right answer within [Patience] is lost.
//   - A shared limit holds: over any window of t seconds at most burst + rate * t
//     calls get through all gateways together, plus 1 %. A call counts as within a
//     window if it began in it and was executed, or answered, in it. And in quiet
//     nine tenths of it can be used.
//   - What arrives of a stream is in order, without gaps and without repetition, up
//     to where it ends; one that ends well is whole.
//
// A call that is not safe to repeat is undecided if its client gave up without
// knowing whether it was executed: the gateway that carried it died, or nobody
// heard of its backend again. Its key then answers ABORTED, since the one thing
// that the gateways know is that it may have been executed. Undecided calls are
// counted and held to be executed at most once; they are not lost idempotent calls.
package cluster

import "time"

// The size of the cluster.
const (
	gateways = 3
	replicas = 3
)

// Patience is how long a client goes on with one call.
const Patience = 30 * time.Second

// The shared limit: calls in a second, and at once.
const (
	Rate  = 40
	Burst = 20
)

// backends are the names of the services, in lower case.
var backends = [...]string{"alpha", "beta"}
