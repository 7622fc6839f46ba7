package daemon

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"culvert/internal/control"
)

// Bounds of the metrics server.
const (
	metricsTimeout  = 10 * time.Second
	maxScrapes      = 4
	maxScrapeHeader = 16 << 10
)

// collector shows the status to Prometheus, as it is when it is asked for.
type collector struct {
	status func(ctx context.Context) (*control.Status, error)
}

var (
	peerLabels  = []string{"peer"}
	childLabels = []string{"peer", "child"}

	descUptime     = prometheus.NewDesc("culvert_uptime_seconds", "Time since the daemon started.", nil, nil)
	descPeerUp     = prometheus.NewDesc("culvert_peer_up", "1 if the peer's IKE SA is established.", peerLabels, nil)
	descPeerState  = prometheus.NewDesc("culvert_peer_state", "1 for the state that the peer is in.", []string{"peer", "state"}, nil)
	descChildUp    = prometheus.NewDesc("culvert_child_up", "1 if the child has an SA.", childLabels, nil)
	descChildMTU   = prometheus.NewDesc("culvert_child_mtu_bytes", "The largest packet that fits through.", childLabels, nil)
	descRekeys     = prometheus.NewDesc("culvert_child_rekeys_total", "How often the child's SA was rekeyed.", childLabels, nil)
	descBytesIn    = prometheus.NewDesc("culvert_child_received_bytes", "Bytes received on the present SA.", childLabels, nil)
	descBytesOut   = prometheus.NewDesc("culvert_child_sent_bytes", "Bytes sent on the present SA.", childLabels, nil)
	descPacketsIn  = prometheus.NewDesc("culvert_child_received_packets", "Packets received on the present SA.", childLabels, nil)
	descPacketsOut = prometheus.NewDesc("culvert_child_sent_packets", "Packets sent on the present SA.", childLabels, nil)
	descDrops      = prometheus.NewDesc("culvert_child_drops", "Packets of the present SA that were dropped, by reason.", []string{"peer", "child", "reason"}, nil)
	descEvents     = prometheus.NewDesc("culvert_events_total", "What was dropped or noticed since the start, by name.", []string{"event"}, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descUptime, descPeerUp, descPeerState, descChildUp, descChildMTU, descRekeys, descBytesIn, descBytesOut, descPacketsIn, descPacketsOut, descDrops, descEvents} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), metricsTimeout/2)
	defer cancel()
	st, err := c.status(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(descUptime, err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descUptime, st.Uptime)
	for name, n := range st.Counters {
		out <- prometheus.MustNewConstMetric(descEvents, prometheus.CounterValue, float64(n), name)
	}
	for i := range st.Peers {
		p := &st.Peers[i]
		gauge(descPeerUp, truth(p.State == "established" || p.State == "rekeying" || p.State == "manual"), p.Name)
		gauge(descPeerState, 1, p.Name, p.State)
		for j := range p.Children {
			collectChild(gauge, out, p.Name, &p.Children[j])
		}
	}
}

func collectChild(gauge func(*prometheus.Desc, float64, ...string), out chan<- prometheus.Metric, peer string, c *control.Child) {
	gauge(descChildUp, truth(c.State == "installed" || c.State == "rekeying"), peer, c.Name)
	gauge(descChildMTU, float64(c.MTU), peer, c.Name)
	out <- prometheus.MustNewConstMetric(descRekeys, prometheus.CounterValue, float64(c.Rekeys), peer, c.Name)
	gauge(descBytesIn, float64(c.BytesIn), peer, c.Name)
	gauge(descBytesOut, float64(c.BytesOut), peer, c.Name)
	gauge(descPacketsIn, float64(c.PacketsIn), peer, c.Name)
	gauge(descPacketsOut, float64(c.PacketsOut), peer, c.Name)
	for reason, n := range c.Drops {
		gauge(descDrops, float64(n), peer, c.Name, reason)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// metricsServer serves /metrics.
func metricsServer(status func(context.Context) (*control.Status, error), log *slog.Logger) *http.Server {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{status})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, Timeout: metricsTimeout}))
	return &http.Server{
		Handler: mux, ReadTimeout: metricsTimeout, WriteTimeout: 2 * metricsTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: maxScrapeHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
