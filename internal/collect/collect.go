// Package collect registers collectors with Prometheus.
package collect

import "github.com/prometheus/client_golang/prometheus"

// Register registers all with reg, in their order, up to the first that reg
// refuses. A nil reg registers nothing: the metrics count, and nobody reads them.
func Register(reg prometheus.Registerer, all ...prometheus.Collector) error {
	if reg == nil {
		return nil
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Gauge reads its value from read when it is collected.
func Gauge(name, help string, read func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
}
