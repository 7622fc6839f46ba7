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
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// names answers with its present addresses.
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
		wantCalls(t, f, "policies +2 -0", "routes", "peers")
		synctest.Wait()
		st, _ := d.Status(context.Background())
		if got := st.Peers[0].Reason; !strings.HasPrefix(got, "hq.example.com cannot be resolved: no such host; trying again") {
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
