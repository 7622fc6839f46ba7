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
	"culvert/internal/control"
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// names answers with what it holds at the time.
type names struct {
	answer atomic.Pointer[[]netip.Addr]
	asked  atomic.Int64
}

func (n *names) set(list ...string) { a := addrs(list...); n.answer.Store(&a) }

func (n *names) ask(context.Context, string) ([]netip.Addr, error) {
	n.asked.Add(1)
	if a := n.answer.Load(); a != nil {
		return *a, nil
	}
	return nil, errors.New("hq.example.com cannot be resolved: no such host")
}

func TestNameIsAskedForUntilItIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{}
		d, f, _ := testDaemon(t, peerText("a", "hq.example.com", "2")+manualText("hq2.example.com", "01"), n.ask)
		f.status = []ike.PeerStatus{{Name: "a", Reason: "the peer has no remote address here", Children: []ike.ChildStatus{{Name: "lan"}}}}
		wantCalls(t, f, "policies", "routes", "peers")
		synctest.Wait()
		st, _ := d.Status(context.Background())
		if got := st.Peers[0].Reason; !strings.HasPrefix(got, "hq.example.com cannot be resolved: no such host; it is asked for again") {
			t.Errorf("got reason %q", got)
		}
		if got := st.Peers[1].Children[0]; got.State != "down" || !strings.Contains(got.Reason, "cannot be resolved") {
			t.Errorf("got manual child %+v", got)
		}
		if got := f.peers[0].Remote; got != nil {
			t.Errorf("got addresses %v before there are any", got)
		}
		n.set("192.0.2.2", "2001:db8::2")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		f.mu.Lock()
		got := f.peers[0].Remote
		f.mu.Unlock()
		if len(got) != 2 || len(f.sas) != 1 {
			t.Errorf("got addresses %v and %d manual SAs", got, len(f.sas))
		}
		asked := n.asked.Load()
		time.Sleep(time.Hour)
		if n.asked.Load() != asked {
			t.Error("a name that was found is asked for again")
		}
		f.took()
		d.resolveAgain("a") // nothing new
		synctest.Wait()
		wantCalls(t, f)
		n.set("198.51.100.7")
		d.resolveAgain("a")
		synctest.Wait()
		wantCalls(t, f, "peers +1 -0")
		if got := f.peers[0].Remote; len(got) != 1 || got[0] != addrs("198.51.100.7")[0] {
			t.Errorf("got addresses %v, want the new one", got)
		}
		d.resolver.close()
	})
}

// A name server that answers nothing holds up neither the start nor the end, nor other names for ever.
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

func TestNamesOfRemovedPeersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{}
		d, _, _ := testDaemon(t, peerText("a", "hq.example.com", "2"), n.ask)
		synctest.Wait()
		writeConfig(t, d, peerText("a", "192.0.2.2", "2"))
		if _, err := d.Reload(context.Background()); err != nil {
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

func TestAddressesOfAForeignFamilyAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{}
		n.set("2001:db8::2", "192.0.2.2")
		d, f, _ := testDaemon(t, "[daemon]\nlisten = [\"192.0.2.1\"]\n"+peerText("a", "hq.example.com", "2"), n.ask)
		synctest.Wait()
		if got := f.peers[0].Remote; len(got) != 1 || !got[0].Is4() {
			t.Errorf("got addresses %v, want the IPv4 one", got)
		}
		d.resolver.close()
	})
}
