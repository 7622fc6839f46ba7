package daemon

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
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

// A collector exports the present status to Prometheus.
type collector struct {
	status func(ctx context.Context) (*control.Status, error)
}

var (
	peerLabels  = []string{"peer"}
	childLabels = []string{"peer", "child"}

	descUptime     = prometheus.NewDesc("culvert_uptime_seconds", "Time since the daemon started.", nil, nil)
	descPeerUp     = prometheus.NewDesc("culvert_peer_up", "1 if the peer's IKE SA is established.", peerLabels, nil)
	descPeerState  = prometheus.NewDesc("culvert_peer_state", "1 for the state that the peer is in.", []string{"peer", "state"}, nil)
	descTakenDown  = prometheus.NewDesc("culvert_peer_taken_down", "1 if an operator took the whole peer down.", peerLabels, nil)
	descParties    = prometheus.NewDesc("culvert_peer_parties", "Parties that are connected, of a peer with many; left out while there are none.", peerLabels, nil)
	descChildUp    = prometheus.NewDesc("culvert_child_up", "1 if the child has an SA.", childLabels, nil)
	descActive     = prometheus.NewDesc("culvert_child_active", "1 if packets are sent through the child, 0 if it stands by; only of one of several children with the same networks.", childLabels, nil)
	descNarrowed   = prometheus.NewDesc("culvert_child_narrowed", "1 if the peer granted less than the child's networks.", childLabels, nil)
	descChildMTU   = prometheus.NewDesc("culvert_child_mtu_bytes", "The largest packet that fits through.", childLabels, nil)
	descRekeys     = prometheus.NewDesc("culvert_child_rekeys_total", "How often the child's SA was rekeyed.", childLabels, nil)
	descBytesIn    = prometheus.NewDesc("culvert_child_received_bytes_total", "Bytes of inner packets received.", childLabels, nil)
	descBytesOut   = prometheus.NewDesc("culvert_child_sent_bytes_total", "Bytes of inner packets sent.", childLabels, nil)
	descPacketsIn  = prometheus.NewDesc("culvert_child_received_packets_total", "Inner packets received.", childLabels, nil)
	descPacketsOut = prometheus.NewDesc("culvert_child_sent_packets_total", "Inner packets sent.", childLabels, nil)
	descDrops      = prometheus.NewDesc("culvert_child_drops_total", "Packets that were dropped, by reason; a reason that there was not yet is left out.", []string{"peer", "child", "reason"}, nil)
	descGuardUp    = prometheus.NewDesc("culvert_guard_up", "1 if the kernel holds back what would leave, or come, in plain.", nil, nil)
	descGuardDrops = prometheus.NewDesc("culvert_guard_drops_total", "Packets that the guard dropped: out, in, and icmp for errors that quote a protected packet.", []string{"direction"}, nil)
	descRepairs    = prometheus.NewDesc("culvert_guard_repairs_total", "How often the guard was put back after another program changed it.", nil, nil)
	descChildGuard = prometheus.NewDesc("culvert_child_guard_drops_total", "What of culvert_guard_drops_total was of the child, out and in; one that is zero, or not counted by child, is left out.", []string{"peer", "child", "direction"}, nil)
	descEvents     = prometheus.NewDesc("culvert_events_total", "What was dropped or noticed since the start, by name.", []string{"event"}, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descUptime, descPeerUp, descPeerState, descTakenDown, descParties, descChildUp, descActive, descNarrowed, descChildMTU, descRekeys, descBytesIn, descBytesOut, descPacketsIn, descPacketsOut, descDrops, descGuardUp, descGuardDrops, descRepairs, descChildGuard, descEvents} {
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
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge(descUptime, st.Uptime)
	gauge(descGuardUp, truth(st.Guard.State == "on"))
	count(descGuardDrops, st.Guard.Drops.Out, "out")
	count(descGuardDrops, st.Guard.Drops.In, "in")
	count(descGuardDrops, st.Guard.Drops.ICMP, "icmp")
	count(descRepairs, st.Guard.Repairs)
	for name, n := range st.Counters {
		count(descEvents, n, name)
	}
	for _, p := range withoutParties(st.Peers) {
		gauge(descPeerUp, truth(p.State == "established" || p.State == "rekeying" || p.State == "manual"), p.Name)
		gauge(descPeerState, 1, p.Name, p.State)
		gauge(descTakenDown, truth(p.TakenDown != nil && p.Party == ""), p.Name)
		if p.Party != "" {
			gauge(descParties, float64(p.parties), p.Name)
		}
		for j := range p.Children {
			collectChild(gauge, count, p.Name, &p.Children[j])
		}
	}
}

func collectChild(gauge func(*prometheus.Desc, float64, ...string), count func(*prometheus.Desc, uint64, ...string), peer string, c *control.Child) {
	gauge(descChildUp, truth(c.State == "installed" || c.State == "rekeying"), peer, c.Name)
	if c.Role != nil {
		gauge(descActive, truth(c.Role.Active), peer, c.Name)
	}
	gauge(descNarrowed, truth(c.Narrowed), peer, c.Name)
	gauge(descChildMTU, float64(c.MTU), peer, c.Name)
	count(descRekeys, uint64(c.Rekeys), peer, c.Name)
	count(descBytesIn, c.BytesIn, peer, c.Name)
	count(descBytesOut, c.BytesOut, peer, c.Name)
	count(descPacketsIn, c.PacketsIn, peer, c.Name)
	count(descPacketsOut, c.PacketsOut, peer, c.Name)
	for reason, n := range c.Drops {
		if n > 0 { // most are zero, and with many children they would fill the page
			count(descDrops, n, peer, c.Name, reason)
		}
	}
	if g := c.GuardDrops; g != nil && g.Out > 0 {
		count(descChildGuard, g.Out, peer, c.Name, "out")
	}
	if g := c.GuardDrops; g != nil && g.In > 0 {
		count(descChildGuard, g.In, peer, c.Name, "in")
	}
}

// A metricsPeer is a configured peer with the sums of its parties.
type metricsPeer struct {
	control.Peer
	parties int
}

// withoutParties returns the configured peers. Parties have no metrics of their own, because their
// number is not bounded by the configuration: a peer is in the best state of its parties, and its
// children carry the sums of theirs.
func withoutParties(list []control.Peer) (out []metricsPeer) {
	for _, p := range list {
		n := len(out)
		if p.Party == "" || n == 0 || out[n-1].Name != p.Name {
			p.Children = slices.Clone(p.Children)
			out = append(out, metricsPeer{p, 1})
			continue
		}
		sum := &out[n-1]
		sum.parties++
		if p.State == "established" {
			sum.State = p.State
		}
		for i := range sum.Children {
			addChild(&sum.Children[i], &p.Children[i])
		}
	}
	return out
}

// addChild adds the counters of a party's child to another's of the same peer.
func addChild(sum, c *control.Child) {
	if c.State == "installed" {
		sum.State = c.State
	}
	sum.Narrowed = sum.Narrowed || c.Narrowed
	sum.MTU = max(sum.MTU, c.MTU)
	sum.Rekeys += c.Rekeys
	sum.BytesIn, sum.BytesOut = sum.BytesIn+c.BytesIn, sum.BytesOut+c.BytesOut
	sum.PacketsIn, sum.PacketsOut = sum.PacketsIn+c.PacketsIn, sum.PacketsOut+c.PacketsOut
	drops := map[string]uint64{}
	maps.Copy(drops, sum.Drops)
	for reason, n := range c.Drops {
		drops[reason] += n
	}
	sum.Drops = drops
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
