package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"culvert/dataplane"
	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/ike"
	"culvert/ike/driver"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/ipsec"
	"culvert/internal/revocation/fetch"
	"culvert/tun/protect"
)

// forced has a reload remove as many peers as a test likes.
var forced = control.ReloadHow{Force: true}

// fakeParts stands for the packet path, IKE, the routes and the sockets, and records the calls in
// order.
type fakeParts struct {
	mu        sync.Mutex
	calls     []string
	policies  []ipsec.Policy
	bypasses  map[ipsec.PolicyID]string
	routes    map[string]map[netip.Prefix]protect.Kind // by the group's local networks
	peers     []ike.Peer
	sas       map[ipsec.ChildID]ipsec.ChildSA
	status    []ike.PeerStatus
	stats     map[ipsec.PolicyID]dataplane.ChildStats
	engine    *ike.Engine
	pairs     map[ipsec.ChildID]dataplane.ChildStats
	events    []driver.Event
	strangers []driver.Stranger
	seen      []dataplane.Sighting
	do        func(in ike.Input) error
	rawESP    bool
	refuse    error // InstallInbound's
	sent      map[ipsec.ChildID]esp.State
	allowed   map[ipsec.ChildID]uint64
}

func (f *fakeParts) note(call string) func() {
	f.mu.Lock()
	f.calls = append(f.calls, call)
	return f.mu.Unlock
}

// took returns the calls since the last time.
func (f *fakeParts) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fakeParts) SetBypasses(set []ipsec.Policy) {
	f.bypasses = map[ipsec.PolicyID]string{}
	f.ChangeBypasses(set, nil)
}

func (f *fakeParts) ChangeBypasses(set []ipsec.Policy, gone []ipsec.PolicyID) {
	for _, name := range gone {
		delete(f.bypasses, name)
	}
	for _, c := range set {
		f.bypasses[c.ID] = fmt.Sprint(c.Local, " to ", c.Remote)
	}
}

func (f *fakeParts) ChangePolicies(set []ipsec.Policy, gone []ipsec.PolicyID) error {
	defer f.note(fmt.Sprintf("policies +%d -%d", len(set), len(gone)))()
	is := func(id ipsec.PolicyID) func(ipsec.Policy) bool {
		return func(c ipsec.Policy) bool { return c.ID == id }
	}
	for _, policy := range gone {
		f.policies = slices.DeleteFunc(f.policies, is(policy))
	}
	for _, c := range set {
		f.policies = append(slices.DeleteFunc(f.policies, is(c.ID)), c)
	}
	return nil
}

func (f *fakeParts) InstallInbound(sa ipsec.ChildSA) error {
	defer f.note("install " + sa.Name.Child)()
	if f.refuse != nil {
		return f.refuse
	}
	f.sas[sa.ID] = sa
	return nil
}

func (f *fakeParts) ActivateOutbound(id ipsec.ChildID) { defer f.note("activate")() }

func (f *fakeParts) TakeOut(id ipsec.ChildID) (esp.State, bool) {
	defer f.note("remove " + f.sas[id].Name.Child)()
	_, ok := f.sas[id]
	delete(f.sas, id)
	return esp.State{Sent: esp.Usage{Packets: uint64(id)}}, ok
}

func (f *fakeParts) State(id ipsec.ChildID) (esp.State, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.sent[id]
	return s, ok
}

func (f *fakeParts) Allow(id ipsec.ChildID, last uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.allowed[id] = last
}

func (f *fakeParts) Sightings() []dataplane.Sighting {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

func (f *fakeParts) PolicyStats(policy ipsec.PolicyID) (dataplane.ChildStats, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, sa := range f.sas {
		if sa.Policy == policy {
			return dataplane.ChildStats{MTU: 1446, Drops: map[string]uint64{}}, true
		}
	}
	st, ok := f.stats[policy]
	return st, ok
}

func (f *fakeParts) PolicyCounts(policy ipsec.PolicyID) (dataplane.PolicyCounts, bool) {
	st, ok := f.PolicyStats(policy)
	n := dataplane.PolicyCounts{PacketsIn: st.PacketsIn, PacketsOut: st.PacketsOut, BytesIn: st.BytesIn, BytesOut: st.BytesOut, MTU: st.MTU}
	for i := range n.Drops {
		n.Drops[i] = st.Drops[dataplane.DropName(i)]
	}
	return n, ok
}

func (f *fakeParts) ChildStats(id ipsec.ChildID) (dataplane.ChildStats, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st, ok := f.pairs[id]
	return st, ok
}

func (f *fakeParts) Do(_ context.Context, in ike.Input) error { return f.do(in) }

// plan asks a true engine for the policies of a change of peers, and lets it follow, unless then is
// nil.
func (f *fakeParts) plan(in ike.PlanPeers, then ike.Input, follow driver.Follow) error {
	if f.engine == nil {
		f.engine = ike.New(ike.Config{Rand: rand.Reader}, epoch)
	}
	var fx ike.Effects
	var set []ipsec.Policy
	var gone []ipsec.PolicyID
	f.engine.Handle(epoch, in, &fx)
	for _, e := range fx.List {
		switch e := e.(type) {
		case ike.InstallPolicy:
			set = append(set, e.Policy)
		case ike.RemovePolicy:
			gone = append(gone, e.ID)
		}
	}
	if err := follow(set, gone); err != nil {
		return err
	}
	if then != nil {
		f.engine.Handle(epoch, then, &fx)
	}
	return nil
}

// named returns the ID of the policy of a child.
func (f *fakeParts) named(peer, child string) ipsec.PolicyID {
	for _, p := range f.policies {
		if p.Name.Peer == peer && p.Name.Child == child {
			return p.ID
		}
	}
	return 0
}

func (f *fakeParts) SetPeers(ctx context.Context, peers []ike.Peer, follow driver.Follow) error {
	if err := f.plan(ike.PlanPeers{Set: peers, Whole: true}, ike.SetPeers{Peers: peers}, follow); err != nil {
		return err
	}
	defer f.note("peers")()
	f.peers = peers
	return ctx.Err()
}

func (f *fakeParts) ChangePeers(ctx context.Context, c ike.ChangePeers, follow driver.Follow) error {
	if err := f.plan(ike.PlanPeers{Set: c.Set, Gone: c.Gone}, c, follow); err != nil {
		return err
	}
	defer f.note(fmt.Sprintf("peers +%d -%d", len(c.Set), len(c.Gone)))()
	for _, name := range c.Gone {
		f.peers = slices.DeleteFunc(f.peers, func(p ike.Peer) bool { return p.Name == name })
	}
	for _, set := range c.Set {
		if i := slices.IndexFunc(f.peers, func(p ike.Peer) bool { return p.Name == set.Name }); i >= 0 {
			f.peers[i] = set
			continue
		}
		f.peers = append(f.peers, set)
	}
	return ctx.Err()
}

// StatusOfAll has the peers of a name, or the party of an address.
func (f *fakeParts) StatusOfAll(_ context.Context, name string) (list []ike.PeerStatus, counters map[string]uint64, err error) {
	f.nameStatus()
	for _, s := range f.status {
		if s.Name == name || s.Name+"#"+s.Party == name {
			list = append(list, s)
		}
	}
	return list, map[string]uint64{}, nil
}

func (f *fakeParts) StatusOf(_ context.Context, peer string) (ike.PeerStatus, bool, error) {
	i := slices.IndexFunc(f.status, func(s ike.PeerStatus) bool { return s.Name == peer })
	if i < 0 {
		return ike.PeerStatus{}, false, nil
	}
	f.nameStatus()
	return f.status[i], true, nil
}

// nameStatus fills in the policies of the status, which tests leave out.
func (f *fakeParts) nameStatus() {
	for i := range f.status {
		for j := range f.status[i].Children {
			if c := &f.status[i].Children[j]; c.Policy == 0 {
				c.Policy = f.named(f.status[i].Name, c.Name)
			}
		}
	}
}

func (f *fakeParts) Status(context.Context) ([]ike.PeerStatus, map[string]uint64, error) {
	f.nameStatus()
	return f.status, map[string]uint64{"ike_malformed": 1}, nil
}

// Gauges gives the peers of the status one by one.
func (f *fakeParts) Gauges(_ context.Context, take func(*ike.Gauges)) (map[string]uint64, error) {
	f.nameStatus()
	for i := range f.status {
		st := &f.status[i]
		g := ike.Gauges{Peers: []ike.PeerGauges{{Name: st.Name, State: st.State, Held: st.Held != nil, IsParty: st.Party != "", Connected: st.Parties.Connected, Children: len(st.Children)}}}
		for _, c := range st.Children {
			g.Children = append(g.Children, ike.ChildGauges{Name: c.Name, Policy: c.Policy, Rekeys: c.Rekeys, Up: c.State >= ike.ChildInstalled, Carries: c.SPIIn != 0,
				Narrow: c.Narrow, Grouped: c.Role != nil, Active: c.Role != nil && c.Role.Active})
		}
		take(&g)
	}
	return map[string]uint64{"ike_malformed": 1}, nil
}

func (f *fakeParts) History(string) []driver.Event { return f.events }
func (f *fakeParts) Strangers() []driver.Stranger  { return f.strangers }

func (f *fakeParts) LocalAddr(netip.Addr) (netip.Addr, error) {
	return netip.MustParseAddr("192.0.2.1"), nil
}
func (f *fakeParts) RawESP() bool             { return f.rawESP }
func (f *fakeParts) FastPath() netio.FastPath { return netio.FastPath{In: "on: eth0", Out: "idle"} }

// plane is fakeParts as the packet path.
type plane struct{ *fakeParts }

func (plane) Counters() map[string]uint64 { return map[string]uint64{"esp_icv": 2, "both": 1} }

// sockets is fakeParts as the network.
type sockets struct{ *fakeParts }

func (sockets) Counters() map[string]uint64 { return map[string]uint64{"both": 2} }

// counted is a device with counters.
type counted struct{}

func (counted) Counters() map[string]uint64 {
	return map[string]uint64{"both": 4, "tun_kernel_drops": 7}
}

// routes is fakeParts as the router.
type routes struct{ *fakeParts }

func (r routes) Apply(c protect.Change) error {
	defer r.note("routes")()
	if r.routes == nil {
		r.fakeParts.routes = map[string]map[netip.Prefix]protect.Kind{}
	}
	for _, g := range c.Groups {
		local := fmt.Sprint(g.Local)
		if g.Gone {
			delete(r.routes, local)
			continue
		}
		if g.New {
			r.routes[local] = map[netip.Prefix]protect.Kind{}
		}
		maps.Copy(r.routes[local], g.Set)
		for _, p := range g.Unset {
			delete(r.routes[local], p)
		}
	}
	return nil
}

func (routes) Counters() map[string]uint64 { return map[string]uint64{"both": 8} }

// exempt returns the networks of a family that a group's routes leave outside.
func (f *fakeParts) exempt(local string) []string {
	var out []string
	for p, k := range f.routes[local] {
		if k == protect.Outside {
			out = append(out, p.String())
		}
	}
	slices.Sort(out)
	return out
}

// remotes returns the routed remote networks, each with the local ones.
func (f *fakeParts) remotes() []string {
	var out []string
	for local, g := range f.routes {
		for p, k := range g {
			if k == protect.Protect {
				out = append(out, fmt.Sprint(p, " from ", local))
			}
		}
	}
	slices.Sort(out)
	return out
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// testDaemon returns a daemon of fake parts that has applied a configuration; ask looks names up.
func testDaemon(t testing.TB, doc string, ask func(ctx context.Context, name string) ([]netip.Addr, error)) (*Daemon, *fakeParts, *bytes.Buffer) {
	t.Helper()
	f := &fakeParts{sas: map[ipsec.ChildID]ipsec.ChildSA{}, stats: map[ipsec.PolicyID]dataplane.ChildStats{}, rawESP: true, sent: map[ipsec.ChildID]esp.State{}, allowed: map[ipsec.ChildID]uint64{}}
	out := &bytes.Buffer{}
	d := &Daemon{log: slog.New(slog.NewTextHandler(out, nil)), level: new(slog.LevelVar), started: epoch, now: func() time.Time { return epoch.Add(10 * time.Second) },
		plane: plane{f}, ike: f, routes: routes{f}, device: counted{}, net: sockets{f}, flows: protect.NewSet(), fetcher: fetch.New(noServers{}), found: map[string]lookup{}, policies: newPolicies(), manual: map[ipsec.PolicyName]manualSA{}}
	d.opts.Config = filepath.Join(t.TempDir(), "a.toml")
	state := &stateOpener{dir: filepath.Join(t.TempDir(), "state")}
	t.Cleanup(state.close)
	d.recorder = newManualRecorder(state, f, d.log)
	if ask == nil {
		ask = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no look-ups here") }
	}
	d.resolver = newResolver(ask, d.resolved)
	t.Cleanup(d.resolver.close)
	writeConfig(t, d, doc)
	cfg, err := config.Load(d.opts.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.begin(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	return d, f, out
}

// noServers is a transport that reaches no server.
type noServers struct{}

func (noServers) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no servers here")
}

func writeConfig(t testing.TB, d *Daemon, doc string) {
	t.Helper()
	if err := os.WriteFile(d.opts.Config, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantCalls(t *testing.T, f *fakeParts, want ...string) {
	t.Helper()
	if got := f.took(); !slices.Equal(got, want) {
		t.Errorf("got calls %q, want %q", got, want)
	}
}

// peerText returns a peer with the child lan, whose networks have the second octet n.
func peerText(name, remote, n string) string {
	return "[[peer]]\nname = \"" + name + "\"\nremote = \"" + remote + "\"\nlocal_id = \"me\"\nremote_id = \"" + name + "\"\npsk = \"0123456789abcdef\"\n" +
		"[[peer.child]]\nname = \"lan\"\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10." + n + ".0.0/16\"]\n"
}

// manualText returns a peer with one manual child.
func manualText(remote, key string) string {
	return "[[peer]]\nname = \"bench\"\nremote = \"" + remote + "\"\n[[peer.child]]\nname = \"man\"\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.77.0.0/16\"]\n" +
		"manual = { spi_out = \"0x1001\", key_out = \"0x" + key + "00000000000000000000000000000000000000\", spi_in = \"0x2001\", key_in = \"0x0000000000000000000000000000000000000000\", cipher = \"aes128gcm16\" }\n"
}
