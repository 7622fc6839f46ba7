// Package bench is the benchmark harness. It runs culvert and its rivals side by side in namespaces
// of one machine, interleaved in one run, and reports medians, spreads and ratios as tables, JSON
// and a plot. Its front ends, `make bench` and `culvert bench`, are described in docs/benchmark.md.
package bench

// A Metric is a figure of a test: its key in the JSON, and its form in tables and plots.
type Metric struct {
	Key   string
	Title string // of a column
	Unit  string // of a bar
	Verb  string // how a value is printed
	Scale float64
	Less  bool // less is better
}

// The metrics. Memory and VPN CPU are of both gateways' processes together; rates count the payload
// that arrives. A GB is 10^9 octets.
var (
	Throughput      = Metric{Key: "gbit_per_s", Title: "Gbit/s", Unit: "Gbit/s", Verb: "%.2f", Scale: 1}
	VPNCPU          = Metric{Key: "vpn_cpu_s_per_gb", Title: "VPN CPU s/GB", Unit: "s/GB", Verb: "%.2f", Scale: 1, Less: true}
	MachineCPU      = Metric{Key: "machine_cpu_s_per_gb", Title: "machine CPU s/GB", Unit: "s/GB", Verb: "%.2f", Scale: 1, Less: true}
	PacketRate      = Metric{Key: "packets_per_s", Title: "1000 packets/s", Unit: "1000 packets/s", Verb: "%.1f", Scale: 1e-3}
	Loss            = Metric{Key: "loss", Title: "loss, %", Unit: "%", Verb: "%.3f", Scale: 100, Less: true}
	VPNCPUPacket    = Metric{Key: "vpn_cpu_us_per_packet", Title: "VPN CPU µs/packet", Unit: "µs/packet", Verb: "%.2f", Scale: 1, Less: true}
	MachinePacket   = Metric{Key: "machine_cpu_us_per_packet", Title: "machine CPU µs/packet", Unit: "µs/packet", Verb: "%.2f", Scale: 1, Less: true}
	Reordered       = Metric{Key: "reordered", Title: "reordered, %", Unit: "%", Verb: "%.3f", Scale: 100, Less: true}
	ReceiverDropped = Metric{Key: "dropped_by_receiver", Title: "dropped by the receiver, %", Unit: "%", Verb: "%.3f", Scale: 100, Less: true}
	P50             = Metric{Key: "p50_us", Title: "p50, µs", Unit: "µs", Verb: "%.0f", Scale: 1, Less: true}
	P99             = Metric{Key: "p99_us", Title: "p99, µs", Unit: "µs", Verb: "%.0f", Scale: 1, Less: true}
	PeakMemory      = Metric{Key: "peak_rss_mib", Title: "peak memory, MiB", Unit: "MiB", Verb: "%.1f", Scale: 1, Less: true}
	AllTunnels      = Metric{Key: "all_tunnels_ms", Title: "start to a packet through each tunnel, ms", Unit: "ms", Verb: "%.0f", Scale: 1, Less: true}
	HandshakeRate   = Metric{Key: "handshakes_per_s", Title: "handshakes/s", Unit: "handshakes/s", Verb: "%.0f", Scale: 1}
	HandshakeCPU    = Metric{Key: "cpu_s_per_1000_handshakes", Title: "CPU s/1000", Unit: "s/1000 handshakes", Verb: "%.3f", Scale: 1, Less: true}
	HandshakeP50    = Metric{Key: "handshake_p50_ms", Title: "p50, ms", Unit: "ms", Verb: "%.1f", Scale: 1, Less: true}
	UpTime          = Metric{Key: "all_up_s", Title: "all up, s", Unit: "s", Verb: "%.2f", Scale: 1, Less: true}
	MemoryPerSA     = Metric{Key: "rss_kib_per_sa", Title: "KiB of memory for each", Unit: "KiB", Verb: "%.1f", Scale: 1, Less: true}
	FirstPacket     = Metric{Key: "first_packet_ms", Title: "start to first packet, ms", Unit: "ms", Verb: "%.0f", Scale: 1, Less: true}
)

// The tests' names.
const (
	tcp1      = "TCP, 1 stream"
	tcp8      = "TCP, 8 streams"
	tcpBoth   = "TCP, both directions"
	udp64     = "UDP, 64 octets"
	udp512    = "UDP, 512 octets"
	udp1400   = "UDP, 1400 octets"
	imix      = "UDP, mixed sizes"
	idle      = "latency, idle"
	loaded    = "latency, under load"
	footprint = "start and memory"
	ikeHeld   = "IKE SAs that stay"
)

// The subjects that serve as baselines of ratios.
const (
	Rival = "wireguard-go"
	Floor = "null forwarder"
	// IKERival is that of handshakes.
	IKERival = "strongSwan"
)

// A column is a metric in a table, with the baselines whose ratios follow it.
type column struct {
	metric Metric
	ratios []string
}

// A group is the tests that share a table.
type group struct {
	title   string
	tests   []string
	columns []column
}

var groups = []group{
	{"TCP", []string{tcp1, tcp8, tcpBoth}, []column{{Throughput, []string{Rival}}, {VPNCPU, []string{Rival, Floor}}, {MachineCPU, []string{Rival, Floor}}}},
	{"UDP at the highest rate with less than 0.1 % loss", []string{udp64, udp512, udp1400, imix}, []column{{PacketRate, []string{Rival}}, {Loss, nil}, {VPNCPUPacket, []string{Rival, Floor}}, {Reordered, nil}}},
	{"Round trip of an echo", []string{idle, loaded}, []column{{P50, []string{Rival}}, {P99, []string{Rival}}, {Loss, nil}}},
	{"Both gateways' processes", []string{footprint}, []column{{FirstPacket, []string{Rival}}, {AllTunnels, nil}, {PeakMemory, []string{Rival}}}},
	{"IKE handshakes, of the daemon alone", ikeTests(), []column{{HandshakeRate, []string{IKERival}}, {HandshakeCPU, []string{IKERival}}, {HandshakeP50, nil}}},
	{"IKE SAs with a Child SA each", []string{ikeHeld}, []column{{UpTime, []string{IKERival}}, {HandshakeCPU, []string{IKERival}}, {MemoryPerSA, []string{IKERival}}}},
}
