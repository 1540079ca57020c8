package server

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// workerCount is how many goroutines are kept for the calls of one server that has
// HTTP/2. When all of them are busy, further calls run on goroutines of their own.
const workerCount = 32

// workers run requests of HTTP/2 on goroutines that are kept: net/http starts one for
// every request, and its stack grows, by copying, to the same size each time, which was a
// seventh of what a gRPC call cost. A connection of HTTP/1.1 keeps its goroutine anyway.
type workers struct {
	jobs    chan *job
	started atomic.Int32
	quit    chan struct{}
}

type job struct {
	handler http.Handler
	w       http.ResponseWriter
	r       *http.Request
	done    chan any // what the handler panicked with, or nil
}

var jobs = sync.Pool{New: func() any { return &job{done: make(chan any)} }}

func newWorkers() *workers {
	return &workers{jobs: make(chan *job), quit: make(chan struct{})}
}

// stop ends idle workers now and others with their requests. It is called once.
func (p *workers) stop() { close(p.quit) }

func (p *workers) work(j *job) {
	for {
		j.run()
		select {
		case j = <-p.jobs:
		case <-p.quit:
			return
		}
	}
}

func (j *job) run() {
	defer func() { j.done <- recover() }()
	j.handler.ServeHTTP(j.w, j.r)
}

// serve returns when h has served the request. It panics with what h panics with.
func (p *workers) serve(h http.Handler, w http.ResponseWriter, r *http.Request) {
	j, _ := jobs.Get().(*job)
	j.handler, j.w, j.r = h, w, r
	select {
	case p.jobs <- j:
	default:
		if p.started.Load() >= workerCount || p.started.Add(1) > workerCount {
			h.ServeHTTP(w, r)
			return
		}
		go p.work(j)
	}
	reason := <-j.done
	j.handler, j.w, j.r = nil, nil, nil
	jobs.Put(j)
	if reason != nil {
		panic(reason)
	}
}
