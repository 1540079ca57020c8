package server

import "net/http"

// WorkersHandler has every request of HTTP/2 served by workers.
type WorkersHandler struct {
	workers *workers
	handler http.Handler
}

func OnWorkers(h http.Handler) *WorkersHandler { return &WorkersHandler{newWorkers(), h} }

func (h *WorkersHandler) Stop() { h.workers.stop() }

func (h *WorkersHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.workers.serve(h.handler, w, r)
}
