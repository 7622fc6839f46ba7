//go:build linux

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"culvert/internal/netlab"

	"github.com/vishvananda/netlink"
)

const psk = "correct horse battery staple"

// A gateway is a culvert daemon in a host.
type gateway struct {
	t    *testing.T
	host *netlab.Host
	dir  string
	proc *netlab.Process
	// daemon has more keys of [daemon].
	daemon string
	// log is the level of its log; by default debug, which has a line for each message.
	log string
	// within is the start of a command line that runs the rest, such as unshare's.
	within []string
	// program is the daemon's executable; by default the culvert under test.
	program string
}

// newGateway prepares a culvert for a host; a failed test prints its counters and its log.
func newGateway(t *testing.T, h *netlab.Host) *gateway {
	g := &gateway{t: t, host: h, dir: t.TempDir()}
	t.Cleanup(func() {
		if g.proc != nil && t.Failed() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if s, err := g.tryStatus(ctx); err == nil { // the losses by place
				t.Logf("counters of culvert at %s: %v", h.Name, s.Counters)
			}
			t.Logf("log of culvert at %s:\n%s", h.Name, indent(g.proc.Output()))
		}
	})
	return g
}

func (g *gateway) config() string { return filepath.Join(g.dir, "culvert.toml") }

// write writes the configuration: the daemon's part and the given peers.
func (g *gateway) write(peers ...string) {
	g.t.Helper()
	text := fmt.Sprintf("[daemon]\ncontrol = %q\nstate = %q\nlog = %q\n%s\n%s", filepath.Join(g.dir, "control.sock"), filepath.Join(g.dir, "state"), cmp.Or(g.log, "debug"), g.daemon, strings.Join(peers, "\n"))
	ok(g.t, os.WriteFile(g.config(), []byte(text), 0o600))
}

// start writes the configuration, runs the daemon and waits until it answers commands.
func (g *gateway) start(peers ...string) {
	g.t.Helper()
	g.write(peers...)
	g.run()
}

// run runs the daemon with the present configuration, and waits until it answers commands.
func (g *gateway) run() {
	g.t.Helper()
	var err error
	args := append(slices.Clone(g.within), cmp.Or(g.program, binary), "run", "--config", g.config())
	g.proc, err = g.host.Start(nil, nil, args[0], args[1:]...)
	ok(g.t, err)
	ctx, cancel := context.WithTimeout(g.t.Context(), 15*time.Second)
	defer cancel()
	ok(g.t, netlab.Until(ctx, "culvert at "+g.host.Name+" to answer commands", func() bool {
		select {
		case <-g.proc.Done():
			g.t.Fatalf("culvert at %s ended at once:\n%s", g.host.Name, g.proc.Output())
		default:
		}
		_, err := g.tryStatus(ctx)
		return err == nil
	}))
}

// try runs a culvert command and returns its output.
func (g *gateway) try(ctx context.Context, args ...string) (string, error) {
	out, err := g.host.Run(ctx, nil, binary, append(args, "--control", filepath.Join(g.dir, "control.sock"))...)
	var exit *exec.ExitError
	if args[0] == "status" && errors.As(err, &exit) && exit.ExitCode() == somethingDown {
		err = nil
	}
	return out, err
}

// somethingDown is the exit status of `culvert status` while something is down that is wanted.
const somethingDown = 3

// do runs a culvert command that must succeed.
func (g *gateway) do(args ...string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 30*time.Second)
	defer cancel()
	out, err := g.try(ctx, args...)
	ok(g.t, err)
	return out
}

// status is the part of the JSON status that the tests use.
type status struct {
	Version  int
	FastPath string `json:"fast_path"`
	FastSent string `json:"fast_path_sent"`
	Guard    guardStatus
	Peers    []peerStatus
	Counters map[string]uint64
}

type guardStatus struct {
	State, Reason string
	Drops         struct{ Out, In, ICMP uint64 }
	Repairs       uint64
}

type peerStatus struct {
	Name, Party, State, Remote, Local, Reason, NAT, Proposal string
	Unreachable                                              string
	SPIi                                                     string               `json:"ike_spi_i"`
	SPIr                                                     string               `json:"ike_spi_r"`
	TakenDown                                                *struct{ By string } `json:"taken_down"`
	Children                                                 []childStatus
}

type childStatus struct {
	Name, State, Mode, Encap, Proposal, Reason string
	EncapWhy                                   string `json:"encap_why"`
	SPIIn                                      string `json:"spi_in"`
	SPIOut                                     string `json:"spi_out"`
	MTU, Rekeys                                int
	Narrowed                                   bool
	Role                                       *struct{ Active bool }
	RemoteTS                                   []string `json:"remote_ts"`
	AskedRemote                                []string `json:"asked_remote_ts"`
	PacketsIn                                  uint64   `json:"packets_in"`
	PacketsOut                                 uint64   `json:"packets_out"`
	Drops                                      map[string]uint64
	GuardDrops                                 struct{ Out, In uint64 } `json:"guard_drops"`
	WorkerSAs                                  []workerStatus           `json:"worker_sas"`
	PartSAs                                    []partStatus             `json:"part_sas"`
}

// partStatus is a Child SA for a part of a child's networks.
type partStatus struct {
	State    string
	SPIIn    string   `json:"spi_in"`
	RemoteTS []string `json:"remote_ts"`
}

// workerStatus is a Child SA for a single worker.
type workerStatus struct {
	Worker     int
	State      string
	SPIIn      string `json:"spi_in"`
	SPIOut     string `json:"spi_out"`
	SourcePort int    `json:"source_port"`
	SourceWhy  string `json:"source_why"`
	PacketsIn  uint64 `json:"packets_in"`
	PacketsOut uint64 `json:"packets_out"`
}

func (g *gateway) tryStatus(ctx context.Context) (status, error) {
	var s status
	out, err := g.try(ctx, "status", "--json")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(out), &s)
}

func (g *gateway) status() status {
	g.t.Helper()
	s, err := g.tryStatus(g.t.Context())
	ok(g.t, err)
	return s
}

func (g *gateway) peer(name string) peerStatus {
	g.t.Helper()
	for _, p := range g.status().Peers {
		if p.Name == name {
			return p
		}
	}
	g.t.Fatalf("%s: status does not list peer %q", g.host.Name, name)
	return peerStatus{}
}

// child returns the status of a child; every configured child is always listed.
func (g *gateway) child(peer, name string) childStatus {
	g.t.Helper()
	for _, c := range g.peer(peer).Children {
		if c.Name == name {
			return c
		}
	}
	g.t.Fatalf("%s: status does not list child %s/%s", g.host.Name, peer, name)
	return childStatus{}
}

// wait polls the peer's status until cond holds.
func (g *gateway) wait(limit time.Duration, what, peer string, cond func(peerStatus) bool) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), limit)
	defer cancel()
	var last peerStatus
	err := netlab.Until(ctx, what, func() bool {
		last = g.peer(peer)
		return cond(last)
	})
	if err != nil {
		g.t.Fatalf("%s: %v; last: %+v", g.host.Name, err, last)
	}
}

// waitUp waits until every child of the peer is installed.
func (g *gateway) waitUp(peer string) {
	g.t.Helper()
	g.wait(20*time.Second, "the tunnel to come up", peer, peerStatus.up)
}

// up reports whether every child of the peer is installed.
func (p peerStatus) up() bool {
	for _, c := range p.Children {
		if c.State != "installed" {
			return false
		}
	}
	return p.State == "established"
}

// stop ends the daemon by SIGTERM and checks that it leaves nothing behind.
func (g *gateway) stop() {
	g.t.Helper()
	ok(g.t, g.proc.Signal(syscall.SIGTERM))
	select {
	case <-g.proc.Done():
	case <-time.After(10 * time.Second):
		g.t.Fatalf("culvert at %s did not end within 10 s of SIGTERM", g.host.Name)
	}
	if c := g.proc.ExitCode(); c != 0 {
		g.t.Errorf("culvert at %s ended with status %d", g.host.Name, c)
	}
	g.wantNothingLeft()
}

// wantNothingLeft checks that the host has no device, route, rule or socket of a culvert.
func (g *gateway) wantNothingLeft() {
	g.t.Helper()
	if g.host.HasLink("culvert0") {
		g.t.Errorf("%s: the device is still there", g.host.Name)
	}
	rules, err := g.host.Netlink().RuleList(0)
	ok(g.t, err)
	for _, r := range rules {
		if r.Table != 255 && r.Table != 254 && r.Table != 253 {
			g.t.Errorf("%s: rule left behind: %v", g.host.Name, r)
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := g.host.Netlink().RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE) // of all tables
		ok(g.t, err)
		for _, r := range routes {
			if r.Table != 255 && r.Table != 254 && r.Table != 253 {
				g.t.Errorf("%s: route left behind: %v", g.host.Name, r)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(g.dir, "control.sock")); err == nil {
		g.t.Errorf("%s: the control socket is still there", g.host.Name)
	}
}

// peerText returns a [[peer]] for the configuration: the name, lines of "key = value", and
// children.
func peerText(name string, keys string, children ...string) string {
	return fmt.Sprintf("[[peer]]\nname = %q\n%s\n%s", name, keys, strings.Join(children, "\n"))
}

// protocol50 has a peer of ours send ESP as IP protocol 50. By default two culverts use UDP.
const protocol50 = "encap = \"never\"\n"

// identities returns the keys that both sides share, as one side has them.
func identities(local, remote string) string {
	return fmt.Sprintf("local_id = \"%s.example.com\"\nremote_id = \"%s.example.com\"\npsk = %q\n", local, remote, psk)
}

func childText(name, local, remote, more string) string {
	return fmt.Sprintf("  [[peer.child]]\n  name = %q\n  local = [%q]\n  remote = [%q]\n%s\n", name, local, remote, more)
}

const boot = "  start = \"boot\""

// both returns the children "v4" and "v6" of the side, with more keys.
func leftChildren(more string) []string {
	return []string{childText("v4", "10.1.0.0/16", "10.2.0.0/16", more), childText("v6", "fd01::/64", "fd02::/64", more)}
}

func rightChildren(more string) []string {
	return []string{childText("v4", "10.2.0.0/16", "10.1.0.0/16", more), childText("v6", "fd02::/64", "fd01::/64", more)}
}

// wantTraffic checks a ping and a TCP transfer with a checksum, in both directions, over IPv4 and
// IPv6.
func (n *network) wantTraffic(t *testing.T, octets int64) {
	t.Helper()
	n.wantTrafficOf(t, octets, leftLAN4, rightLAN4)
	n.wantTrafficOf(t, octets, leftLAN6, rightLAN6)
}

func (n *network) wantTrafficOf(t *testing.T, octets int64, left, right netip.Addr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	_, err := n.left.PingUntil(ctx, left, right, 500*time.Millisecond)
	ok(t, err)
	_, err = n.right.PingUntil(ctx, right, left, 500*time.Millisecond)
	ok(t, err)
	_, err = netlab.Transfer(ctx, n.left, left, n.right, right, octets)
	ok(t, err)
	_, err = netlab.Transfer(ctx, n.right, right, n.left, left, octets)
	ok(t, err)
}
