package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"culvert/dataplane"
	"culvert/ike"
	"culvert/internal/control"
	"culvert/internal/ipsec"
)

// crowd is the parts of a daemon whose peers are all up. made counts what is made for a status.
type crowd struct {
	*fakeParts
	made *made
}

// made counts the peers that the engine told of, and the children that the packet path counted for.
type made struct{ peers, children int }

func (crowd) Counters() map[string]uint64 { return map[string]uint64{"esp_icv": 2} }

func (c crowd) PolicyStats(ipsec.PolicyID) (dataplane.ChildStats, bool) {
	c.made.children++
	st := dataplane.ChildStats{MTU: 1446, PacketsIn: 1, PacketsOut: 2, LastIn: epoch, Drops: map[string]uint64{}}
	for _, name := range []string{"malformed", "replay", "icv", "dummy", "bad_inner", "selector_mismatch", "ecn", "expired", "tun_full", "tun_write_errors", "too_big", "send_errors"} {
		st.Drops[name] = 0
	}
	return st, true
}

func (crowd) PolicyCounts(ipsec.PolicyID) (dataplane.PolicyCounts, bool) {
	return dataplane.PolicyCounts{MTU: 1446, PacketsIn: 1, PacketsOut: 2}, true
}

// Gauges gives the peers as the engine does, in parts of 256.
func (c crowd) Gauges(_ context.Context, take func(*ike.Gauges)) (map[string]uint64, error) {
	var g ike.Gauges
	for part := range slices.Chunk(c.status, 256) {
		g.Peers, g.Children = g.Peers[:0], g.Children[:0]
		for i := range part {
			g.Peers = append(g.Peers, ike.PeerGauges{Name: part[i].Name, Place: 1, State: part[i].State, Children: 1})
			g.Children = append(g.Children, ike.ChildGauges{Name: "lan", Policy: 7, Up: true, Carries: true})
		}
		take(&g)
	}
	return map[string]uint64{}, nil
}

// StatusOfAll finds a peer as the engine does, at once.
func (c crowd) StatusOfAll(_ context.Context, name string) ([]ike.PeerStatus, map[string]uint64, error) {
	var n int
	if _, err := fmt.Sscanf(name, "peer-%d", &n); err != nil || n >= len(c.status) {
		return nil, map[string]uint64{}, nil
	}
	c.made.peers++
	return c.status[n : n+1], map[string]uint64{}, nil
}

// Status tells of all peers.
func (c crowd) Status(ctx context.Context) ([]ike.PeerStatus, map[string]uint64, error) {
	c.made.peers += len(c.status)
	return c.fakeParts.Status(ctx)
}

// newCrowd returns a daemon with n peers.
func newCrowd(b testing.TB, n int) (*Daemon, crowd) {
	var doc strings.Builder
	for i := range n {
		text := peerText(fmt.Sprintf("peer-%06d", i), "192.0.2.2", "2")
		doc.WriteString(strings.Replace(text, "10.2.0.0/16", fmt.Sprintf("%d.%d.%d.0/24", 11+i>>16, i>>8&255, i&255), 1))
	}
	d, f, _ := testDaemon(b, doc.String(), nil)
	c := crowd{f, &made{}}
	d.plane, d.ike = c, c
	for i := range n {
		f.status = append(f.status, ike.PeerStatus{
			Name: fmt.Sprintf("peer-%06d", i), State: ike.PeerEstablished, SPIi: 1, SPIr: 2, Proposal: "aes256gcm16-prfsha384-x25519", Established: epoch,
			Children: []ike.ChildStatus{{Name: "lan", State: ike.ChildInstalled, SPIIn: 1000, SPIOut: 1001, Proposal: "aes128gcm16-esn"}},
		})
	}
	return d, c
}

// BenchmarkStatus takes a snapshot of all peers, without the work of engine and packet path.
func BenchmarkStatus(b *testing.B) {
	for _, n := range []int{10, 10000} {
		d, _ := newCrowd(b, n)
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

// The status of one peer is made for this one alone, and none for a name that nobody has: no more
// is allocated among 1,000 peers than among 10, by commands neither. A few allocations come and go
// with digits and pools.
func TestStatusOfOneAmongMany(t *testing.T) {
	ctx := context.Background()
	few, _ := newCrowd(t, 10)
	many, c := newCrowd(t, 1000)
	for _, tt := range []struct {
		what string
		do   func(d *Daemon) error
		made made
	}{
		{"status of a peer", func(d *Daemon) error { _, err := d.StatusOf(ctx, "peer-000007"); return err }, made{1, 1}},
		{"status of nobody", func(d *Daemon) error { return mustFail(d.StatusOf(ctx, "nobody")) }, made{}},
		{"status of nobody's party", func(d *Daemon) error { return mustFail(d.StatusOf(ctx, "peer-000007#x")) }, made{}},
		{"explain nobody", func(d *Daemon) error { return mustFail(d.Explain(ctx, "nobody")) }, made{}},
		{"up nobody", func(d *Daemon) error { return mustFail(d.Act(ctx, control.Up, control.Target{Peer: "nobody"})) }, made{}},
	} {
		do := func(d *Daemon) func() {
			return func() {
				if err := tt.do(d); err != nil {
					t.Error(tt.what, err)
				}
			}
		}
		*c.made = made{}
		if do(many)(); *c.made != tt.made {
			t.Errorf("%s: made %+v, want %+v", tt.what, *c.made, tt.made)
		}
		if a, b := testing.AllocsPerRun(10, do(few)), testing.AllocsPerRun(10, do(many)); b > a+20 {
			t.Errorf("%s: %.0f allocations among 1,000 peers, %.0f among 10", tt.what, b, a)
		}
	}
}

// mustFail returns an error unless there was one.
func mustFail[T any](_ T, err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return nil
}

// BenchmarkStatusOfOne takes a snapshot of one peer of many, and of a name that nobody has.
func BenchmarkStatusOfOne(b *testing.B) {
	for _, n := range []int{10, 10000} {
		d, _ := newCrowd(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if st, err := d.StatusOf(context.Background(), "peer-000007"); err != nil || len(st.Peers) != 1 {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%d-nobody", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.StatusOf(context.Background(), "nobody"); err == nil {
					b.Fatal("nobody has a status")
				}
			}
		})
	}
}

// nowhere is a client that reads and forgets.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header         { return w.header }
func (w nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (w nowhere) WriteHeader(int)             {}

// BenchmarkMetrics serves a whole scrape, without the work of engine and packet path.
func BenchmarkMetrics(b *testing.B) {
	for _, n := range []int{10, 10000} {
		d, _ := newCrowd(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := metricsServer(d.sample, d.log).Handler
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(nowhere{http.Header{}}, httptest.NewRequest("GET", "/metrics", nil))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/peer")
		})
	}
}
