package certs

import "github.com/prometheus/client_golang/prometheus"

// collector tells of the files when asked, so that those which nobody uses any
// more are gone.
type collector struct{ store *Store }

var _ prometheus.Collector = collector{}

var (
	expiryDesc = prometheus.NewDesc("gatehouse_certificate_expiry_timestamp_seconds",
		"When the first certificate in a file ends, in seconds of the Unix epoch.", []string{"file"}, nil)
	resultDesc = prometheus.NewDesc("gatehouse_certificate_last_result",
		"Whether a file of certificates could be used when it was last looked at: 1, or 0.", []string{"file"}, nil)
)

func (collector) Describe(to chan<- *prometheus.Desc) {
	to <- expiryDesc
	to <- resultDesc
}

// Collect names a certificate and its key by the certificate's file, which may be
// used with one key only.
func (c collector) Collect(to chan<- prometheus.Metric) {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	told := map[string]bool{}
	for _, f := range c.store.files {
		if told[f.paths[0]] {
			continue
		}
		told[f.paths[0]] = true
		result := 1.0
		if f.problem != "" {
			result = 0
		}
		to <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, float64(f.material.Load().ends.Unix()), f.paths[0])
		to <- prometheus.MustNewConstMetric(resultDesc, prometheus.GaugeValue, result, f.paths[0])
	}
}
