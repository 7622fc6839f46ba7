package daemon

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"culvert/dataplane"
	"culvert/ike"
	"culvert/internal/ipsec"
)

// crowd is the parts of a daemon whose peers are all up.
type crowd struct{ *fakeParts }

func (crowd) Counters() map[string]uint64 { return map[string]uint64{"esp_icv": 2} }

func (crowd) PolicyStats(ipsec.PolicyID) (dataplane.ChildStats, bool) {
	st := dataplane.ChildStats{MTU: 1446, PacketsIn: 1, PacketsOut: 2, LastIn: epoch, Drops: map[string]uint64{}}
	for _, name := range []string{"malformed", "replay", "icv", "dummy", "bad_inner", "selector_mismatch", "ecn", "expired", "tun_full", "tun_write_errors", "too_big", "send_errors"} {
		st.Drops[name] = 0
	}
	return st, true
}

// StatusOfAll finds a peer as the engine does, at once.
func (c crowd) StatusOfAll(_ context.Context, name string) ([]ike.PeerStatus, map[string]uint64, error) {
	var n int
	_, err := fmt.Sscanf(name, "peer-%d", &n)
	return c.status[n : n+1], map[string]uint64{}, err
}

// newCrowd returns a daemon with n peers.
func newCrowd(b *testing.B, n int) *Daemon {
	var doc strings.Builder
	for i := range n {
		text := peerText(fmt.Sprintf("peer-%06d", i), "192.0.2.2", "2")
		doc.WriteString(strings.Replace(text, "10.2.0.0/16", fmt.Sprintf("11.%d.%d.0/24", i>>8, i&255), 1))
	}
	d, f, _ := testDaemon(b, doc.String(), nil)
	d.plane, d.ike = crowd{f}, crowd{f}
	for i := range n {
		f.status = append(f.status, ike.PeerStatus{
			Name: fmt.Sprintf("peer-%06d", i), State: ike.PeerEstablished, SPIi: 1, SPIr: 2, Proposal: "aes256gcm16-prfsha384-x25519", Established: epoch,
			Children: []ike.ChildStatus{{Name: "lan", State: ike.ChildInstalled, SPIIn: 1000, SPIOut: 1001, Proposal: "aes128gcm16-esn"}},
		})
	}
	return d
}

// BenchmarkStatus takes a snapshot of all peers, without the work of engine and packet path.
func BenchmarkStatus(b *testing.B) {
	for _, n := range []int{10, 10000} {
		d := newCrowd(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Status(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/peer")
		})
	}
}

// BenchmarkStatusOfOne takes a snapshot of one peer of many.
func BenchmarkStatusOfOne(b *testing.B) {
	for _, n := range []int{10, 10000} {
		d := newCrowd(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if st, err := d.StatusOf(context.Background(), "peer-000007"); err != nil || len(st.Peers) != 1 {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMetrics serves a whole scrape.
func BenchmarkMetrics(b *testing.B) {
	for _, n := range []int{10, 10000} {
		d := newCrowd(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := metricsServer(d.Status, d.log).Handler
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
				if n, _ := io.Copy(io.Discard, w.Body); n < 1000 || w.Code != 200 {
					b.Fatalf("got %d with %d octets", w.Code, n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/peer")
		})
	}
}
