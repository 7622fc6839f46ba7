package daemon

import (
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"culvert/dataplane"
	"culvert/ike"
	"culvert/internal/config"
)

// The text format of Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats. Each
// metric has its values together, behind a line with its description and one with its type; labels
// stand between braces.

// expositionType is the format's content type.
const expositionType = "text/plain; version=0.0.4; charset=utf-8"

// scrapeBuffer is the number of octets that a scrape writes at a time.
const scrapeBuffer = 64 << 10

// metrics are all metrics, in the order of the page. each writes the values.
var metrics = []struct {
	name, kind, help string
	each             func(*sample, *scrape)
}{
	{"certificate_expiry_timestamp_seconds", "gauge", "The end of the validity of a configured certificate, ours (own) or of a CA (ca), as Unix time.", ofExpiry},
	{"child_active", "gauge", "1 if packets are sent through the child, 0 if it stands by; only of one of several children with the same networks.", ofGroups},
	{"child_drops_total", "counter", "Packets that were dropped, by reason; a reason that there was not yet is left out.", ofDrops},
	{"child_guard_drops_total", "counter", "What of culvert_guard_drops_total was of the child, out and in; one that is zero, or not counted by child, is left out.", ofHeld},
	{"child_mtu_bytes", "gauge", "The largest packet that fits through.", ofChildren(func(c *childSample) uint64 { return uint64(c.mtu) })},
	{"child_narrowed", "gauge", "1 if the peer granted less than the child's networks.", ofChildren(func(c *childSample) uint64 { return truth(c.narrow) })},
	{"child_received_bytes_total", "counter", "Bytes of inner packets received.", ofChildren(func(c *childSample) uint64 { return c.in.octets })},
	{"child_received_packets_total", "counter", "Inner packets received.", ofChildren(func(c *childSample) uint64 { return c.in.packets })},
	{"child_rekeys_total", "counter", "How often the child's SA was rekeyed.", ofChildren(func(c *childSample) uint64 { return c.rekeys })},
	{"child_sent_bytes_total", "counter", "Bytes of inner packets sent.", ofChildren(func(c *childSample) uint64 { return c.out.octets })},
	{"child_sent_packets_total", "counter", "Inner packets sent.", ofChildren(func(c *childSample) uint64 { return c.out.packets })},
	{"child_up", "gauge", "1 if the child has an SA.", ofChildren(func(c *childSample) uint64 { return truth(c.up) })},
	{"events_total", "counter", "What was dropped or noticed since the start, by name.", ofEvents},
	{"guard_drops_total", "counter", "Packets that the guard dropped: out, in, and icmp for errors that quote a protected packet.", ofGuard},
	{"guard_repairs_total", "counter", "How often the guard was put back after another program changed it.", func(s *sample, w *scrape) { w.value(s.guard.Repairs) }},
	{"guard_up", "gauge", "1 if the kernel holds back what would leave, or come, in plain.", func(s *sample, w *scrape) { w.value(truth(s.guard.State == "on")) }},
	{"peer_parties", "gauge", "Parties that are connected, of a peer with many; left out while there are none.", ofParties},
	{"peer_state", "gauge", "1 for the state that the peer is in.", ofStates},
	{"peer_taken_down", "gauge", "1 if an operator took the whole peer down.", ofPeers(func(p *peerSample) uint64 { return truth(p.held) })},
	{"peer_up", "gauge", "1 if the peer's IKE SA is established.", ofPeers(func(p *peerSample) uint64 { return truth(p.up()) })},
	{"uptime_seconds", "gauge", "Time since the daemon started.", ofUptime},
	{"verdict", "gauge", "1 for what is wrong with a peer or a child, or should be known; there is none where nothing is. docs/verdicts.md.", ofVerdicts},
}

// A scrape is the page being written. After an error of its writer it writes no more.
type scrape struct {
	to       io.Writer
	err      error
	page     []byte   // not written yet
	head     string   // of the metric; "" once it is written, with the first value
	name     string   // of the metric
	children []string // the labels of each child, in step with sample.children
	peers    []string // the labels of each peer
}

// write writes the page.
func (s *sample) write(to io.Writer) error {
	w := &scrape{to: to, page: make([]byte, 0, scrapeBuffer+maxScrapeLine)}
	w.label(s)
	for _, m := range metrics {
		w.name = "culvert_" + m.name
		w.head = "# HELP " + w.name + " " + m.help + "\n# TYPE " + w.name + " " + m.kind + "\n"
		if m.each(s, w); w.err != nil {
			return w.err
		}
	}
	w.spill()
	return w.err
}

// label makes the labels, in one piece of memory. That of a peer is the end of its first child's.
func (w *scrape) label(s *sample) {
	const open, between, end = `child="`, `",peer="`, `"`
	length := func(child, peer string) int { return len(open) + len(child) + len(between) + len(peer) + len(end) }
	total := 0
	for i := range s.cfg.Peers {
		for _, child := range s.cfg.Peers[i].Order {
			total += length(child, s.cfg.Peers[i].Name)
		}
	}
	var text strings.Builder
	text.Grow(total)
	w.children, w.peers = make([]string, 0, len(s.children)), make([]string, 0, len(s.peers))
	for i := range s.cfg.Peers {
		p := &s.cfg.Peers[i]
		for _, child := range p.Order {
			for _, piece := range []string{open, child, between, p.Name, end} {
				text.WriteString(piece)
			}
			whole := text.String()
			w.children = append(w.children, whole[len(whole)-length(child, p.Name):])
		}
		w.peers = append(w.peers, peerLabel(p, w.children[s.peers[i].children:]))
	}
}

// peerLabel returns the label of a peer of which children holds those of the children.
func peerLabel(p *config.Peer, children []string) string {
	if len(children) == 0 {
		return `peer="` + p.Name + `"`
	}
	return children[0][len(`child="",`)+len(p.Order[0]):]
}

// maxScrapeLine bounds a line, and a metric's head.
const maxScrapeLine = 1024

// value writes a line. Its labels may be in pieces.
func (w *scrape) value(n uint64, labels ...string) {
	w.page = strconv.AppendUint(w.begin(labels...), n, 10)
	w.end()
}

// begin returns the page with the beginning of a line, as far as its value.
func (w *scrape) begin(labels ...string) []byte {
	b := append(w.page, w.head...)
	w.head = ""
	b = append(b, w.name...)
	if len(labels) > 0 {
		b = append(b, '{')
		for _, text := range labels {
			b = append(b, text...)
		}
		b = append(b, '}')
	}
	return append(b, ' ')
}

// end ends a line.
func (w *scrape) end() {
	if w.page = append(w.page, '\n'); len(w.page) >= scrapeBuffer {
		w.spill()
	}
}

func (w *scrape) spill() {
	if w.err == nil {
		_, w.err = w.to.Write(w.page)
	}
	w.page = w.page[:0]
}

func ofChildren(of func(*childSample) uint64) func(*sample, *scrape) {
	return func(s *sample, w *scrape) {
		for i := range s.children {
			if w.err != nil {
				return
			}
			w.value(of(&s.children[i]), w.children[i])
		}
	}
}

func ofPeers(of func(*peerSample) uint64) func(*sample, *scrape) {
	return func(s *sample, w *scrape) {
		for i := range s.peers {
			w.value(of(&s.peers[i]), w.peers[i])
		}
	}
}

func ofGroups(s *sample, w *scrape) {
	for i := range s.children {
		if c := &s.children[i]; c.grouped {
			w.value(truth(c.active), w.children[i])
		}
	}
}

// ofDrops leaves reasons out that are zero: most are, and with many children they would fill the
// page.
func ofDrops(s *sample, w *scrape) {
	for i := range s.children {
		if s.children[i].drops == nil {
			continue
		}
		for reason, n := range s.children[i].drops {
			if n > 0 {
				w.value(n, w.children[i], `,reason="`, dataplane.DropName(reason), `"`)
			}
		}
	}
}

func ofHeld(s *sample, w *scrape) {
	for _, h := range s.held {
		for _, d := range []struct {
			direction string
			n         uint64
		}{{"in", h.drops.In}, {"out", h.drops.Out}} {
			if d.n > 0 {
				w.value(d.n, `child="`, h.child, `",direction="`, d.direction, `",peer="`, h.peer, `"`)
			}
		}
	}
}

func ofGuard(s *sample, w *scrape) {
	w.value(s.guard.Drops.ICMP, `direction="icmp"`)
	w.value(s.guard.Drops.In, `direction="in"`)
	w.value(s.guard.Drops.Out, `direction="out"`)
}

func ofEvents(s *sample, w *scrape) {
	for _, name := range slices.Sorted(maps.Keys(s.counters)) {
		w.value(s.counters[name], `event="`, name, `"`)
	}
}

func ofParties(s *sample, w *scrape) {
	for i := range s.peers {
		if p := &s.peers[i]; p.party {
			w.value(uint64(p.parties), w.peers[i])
		}
	}
}

func ofStates(s *sample, w *scrape) {
	for i := range s.peers {
		w.value(1, w.peers[i], `,state="`, s.peers[i].stateName(), `"`)
	}
}

func ofUptime(s *sample, w *scrape) {
	w.page = strconv.AppendFloat(w.begin(), s.uptime, 'g', -1, 64)
	w.end()
}

func ofVerdicts(s *sample, w *scrape) {
	for _, v := range s.verdicts {
		w.value(1, `child="`, v.child, `",code="`, v.code, `",level="`, v.level, `",peer="`, v.peer, `"`)
	}
}

func (p *peerSample) stateName() string {
	if p.manual {
		return "manual"
	}
	return peerStates[p.state]
}

func (p *peerSample) up() bool {
	return p.manual || p.state == ike.PeerEstablished || p.state == ike.PeerRekeying
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
