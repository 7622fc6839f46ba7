package daemon

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/control"
)

func TestNamesOfRemovedPeersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{}
		d, _, _ := testDaemon(t, peerText("a", "hq.example.com", "2"), n.ask)
		synctest.Wait()
		writeConfig(t, d, peerText("a", "192.0.2.2", "2"))
		if _, err := d.Reload(context.Background(), forced); err != nil {
			t.Fatal(err)
		}
		asked := n.asked.Load()
		time.Sleep(time.Hour)
		if n.asked.Load() != asked {
			t.Error("a name that is not configured any more is asked for")
		}
		d.resolver.close()
	})
}

// A silent name server delays neither the start nor the end, nor other names for ever.
func TestLookupsDoNotHoldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var doc strings.Builder
		for _, c := range "abcdefghijklmnopqrst" {
			n := string([]byte{byte(c-'a')/10 + '1', byte(c-'a')%10 + '0'})
			doc.WriteString(peerText(string(c), string(c)+".example.com", n))
		}
		began := time.Now()
		d, f, _ := testDaemon(t, doc.String(), func(ctx context.Context, name string) ([]netip.Addr, error) {
			if name == "t.example.com" {
				return addrs("192.0.2.7"), nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if time.Since(began) != 0 {
			t.Errorf("the start took %v", time.Since(began))
		}
		f.do = func(ike.Input) error { return errors.New("no remote address") }
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := d.Act(ctx, control.Up, control.Target{Peer: "a"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("up: got %v, want its own deadline", err)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := f.peers[len(f.peers)-1].Remote; len(got) != 1 {
			t.Errorf("the last peer has addresses %v, want one", got)
		}
		began = time.Now()
		d.resolver.close()
		if time.Since(began) != 0 {
			t.Errorf("the end took %v", time.Since(began))
		}
	})
}

// Each change of what a name stands for is in the log, and a look-up with the same result is not.
func TestChangesOfANameAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last atomic.Uint32
		last.Store(2)
		d, _, out := testDaemon(t, peerText("a", "hq.example.com", "2"), func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(last.Load())})}, nil
		})
		defer d.resolver.close()
		for _, tt := range []struct {
			addr uint32
			want int
		}{{2, 1}, {2, 1}, {3, 2}} {
			last.Store(tt.addr)
			d.resolveAgain("a")
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := strings.Count(out.String(), "event=resolved"); got != tt.want {
				t.Errorf("%d lines, want %d:\n%s", got, tt.want, out)
			}
		}
	})
}

// Why a peer has no address is told of the name that it has now.
func TestReasonOfAnotherName(t *testing.T) {
	d, _, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	none := errors.New("no such host")
	for _, tt := range []struct {
		name  string
		found lookup
		want  string
	}{
		{"", lookup{}, ""},
		{"hq.example.com", lookup{}, "hq.example.com is being looked up"},
		{"hq.example.com", lookup{name: "hq.example.com", err: none}, "no such host; trying again"},
		{"hq.example.com", lookup{name: "hq.example.com", addrs: addrs("192.0.2.7")}, ""},
		{"hq.example.com", lookup{name: "hq.example.com", addrs: addrs("192.0.2.7"), err: none}, ""},
		{"hq.example.com", lookup{name: "old.example.com", err: none}, "hq.example.com is being looked up"},
		{"hq.example.com", lookup{name: "old.example.com", addrs: addrs("192.0.2.7")}, "hq.example.com is being looked up"},
	} {
		d.found["a"] = tt.found
		if got := d.unresolved(&config.Peer{Peer: ike.Peer{Name: "a"}, RemoteName: tt.name}); got != tt.want {
			t.Errorf("%q, found %+v: got %q, want %q", tt.name, tt.found, got, tt.want)
		}
	}
}
