package hostpolicy

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"culvert/internal/netlab"
)

// newHost returns a host of its own for rules.
func newHost(t *testing.T) *netlab.Host {
	t.Helper()
	lab := netlab.Need(t)
	h, err := lab.Host("policy")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// look looks at all of a host.
func look(t *testing.T, h *netlab.Host, own ...string) (v Verdict) {
	t.Helper()
	if err := h.Do(func() error { v = Firewall(own).Or(Others()); return nil }); err != nil {
		t.Fatal(err)
	}
	return v
}

// rulesOf gives a host the table t of a family with some chains. Older versions of nft need the end
// of a line where newer ones do not.
func rulesOf(h *netlab.Host, family, chains string) error {
	return h.NFT("table " + family + " t { " + strings.NewReplacer("; }", "\n}", "}; ", "}\n").Replace(chains) + "\n}")
}

const (
	input       = "type filter hook input priority 0; "
	prerouting  = "type filter hook prerouting priority -300; "
	output      = "type filter hook output priority 0; "
	postrouting = "type filter hook postrouting priority 100; "
)

// rulesets are chains of an inet table, and the directions that they concern: "in", "out", both or
// neither.
var rulesets = []struct{ name, chains, concerns string }{
	{"an empty chain that accepts", "chain a { " + input + "policy accept; }", ""},
	{"a chain that drops", "chain a { " + input + "policy drop; }", "in"},
	{"sent packets are dropped", "chain a { " + output + "policy drop; }", "out"},
	{"before the routing", "chain a { " + prerouting + "policy drop; }", "in"},
	{"after the routing", "chain a { " + postrouting + "policy drop; }", "out"},
	{"forwarded packets are dropped", "chain a { type filter hook forward priority 0; policy drop; }", ""},
	{"nothing leads to it", "chain a { drop; }", ""},
	{"every packet", "chain a { " + input + "drop; }", "in"},
	{"every packet accepted", "chain a { " + input + "policy drop; accept; }", ""},
	{"ESP dropped", "chain a { " + input + "meta l4proto esp drop; }", "in"},
	{"ESP accepted", "chain a { " + input + "policy drop; meta l4proto esp accept; }", ""},
	{"ESP over IPv4 only", "chain a { " + input + "policy drop; ip protocol esp accept; }", "in"},
	{"ESP over both", "chain a { " + input + "policy drop; ip protocol esp accept; ip6 nexthdr esp accept; }", ""},
	{"ESP of one SPI", "chain a { " + input + "policy drop; esp spi 1000 accept; }", "in"},
	{"ESP counted", "chain a { " + input + "meta l4proto esp counter; }", "in"},
	{"ESP refused", "chain a { " + output + "meta l4proto esp reject; }", "out"},
	{"ESP marked", "chain a { " + output + "meta l4proto esp meta mark set 7; }", "out"},
	{"ESP limited", "chain a { " + input + "meta l4proto esp limit rate over 10/second drop; }", "in"},
	{"ESP logged", "chain a { " + input + "meta l4proto esp log; }", "in"},
	{"ESP not tracked", "chain a { " + prerouting + "meta l4proto esp notrack; }", "in"},
	{"all counted", "chain a { " + input + "counter; }", "in"},
	{"TCP dropped", "chain a { " + input + "tcp dport 22 drop; udp dport { 53, 67 } counter drop; icmp type echo-request limit rate 1/second log drop; }", ""},
	{"other protocols in a set", "chain a { " + input + "meta l4proto { tcp, udp, icmp, 51 } drop; }", ""},
	{"ESP in a set", "chain a { " + input + "meta l4proto { tcp, esp } drop; }", "in"},
	{"ESP in an interval", "chain a { " + input + "meta l4proto 40-60 drop; }", "in"},
	{"ESP in intervals", "chain a { " + input + "meta l4proto { 1-6, 40-60 } drop; }", "in"},
	{"all but TCP", "chain a { " + input + "meta l4proto != tcp drop; }", "in"},
	{"all but some", "chain a { " + input + "meta l4proto != { tcp, udp } drop; }", "in"},
	{"all but some and ESP", "chain a { " + input + "meta l4proto != { tcp, esp } drop; }", ""},
	{"a named set", "set s { type inet_proto; elements = { tcp, esp }; }; chain a { " + input + "meta l4proto @s drop; }", "in"},
	{"a set that empties by itself", "set s { type inet_proto; flags timeout; elements = { esp timeout 1h }; }; chain a { " + input + "policy drop; meta l4proto @s accept; }", "in"},
	{"a source", "chain a { " + input + "ip saddr 192.0.2.7 drop; }", "in"},
	{"a device", "chain a { " + input + "iifname \"eth7\" drop; }", "in"},
	{"a source accepted", "chain a { " + input + "ip saddr 192.0.2.7 accept; iifname lo accept; ct state established accept; }", ""},
	{"a source accepted, the rest dropped", "chain a { " + input + "policy drop; ip saddr 192.0.2.7 accept; }", "in"},
	{"a port of whatever protocol", "chain a { " + input + "th dport 22 drop; }", "in"},
	{"the state invalid", "chain a { " + input + "ct state invalid drop; ct state invalid log; }", ""},
	{"the state new", "chain a { " + input + "ct state new drop; }", "in"},
	{"invalid or untracked", "chain a { " + input + "ct state invalid,untracked drop; }", "in"},
	{"states in a map", "chain a { " + input + "ct state vmap { established : accept, related : accept, invalid : drop }; }", ""},
	{"new in a map", "chain a { " + input + "ct state vmap { established : accept, new : drop }; }", "in"},
	{"a usual gateway", "chain a { " + input + "policy drop; ct state vmap { established : accept, invalid : drop }; iifname lo accept; meta l4proto { icmp, ipv6-icmp } accept; udp dport { 500, 4500 } accept; meta l4proto esp accept; counter drop; }", ""},
	{"a usual workstation", "chain a { " + input + "policy drop; ct state established,related accept; iifname lo accept; tcp dport 22 accept; }", "in"},
	{"protocols in a map", "chain t { drop; }; chain e { accept; }; chain a { " + input + "policy drop; meta l4proto vmap { tcp : jump t, esp : goto e, udp : drop }; }", ""},
	{"ESP jumps", "chain e { udp dport 1 drop; }; chain a { " + input + "jump e; meta l4proto esp drop; }", "in"},
	{"ESP goes to a chain that accepts", "chain e { accept; }; chain a { " + input + "meta l4proto esp goto e; drop; }", ""},
	{"ESP goes to a chain and to the policy", "chain e { tcp dport 1 drop; }; chain a { " + input + "policy drop; meta l4proto esp goto e; accept; }", "in"},
	{"ESP returns", "chain e { meta l4proto esp return; drop; }; chain a { " + input + "jump e; }", ""},
	{"ESP returns to the policy", "chain a { " + input + "policy drop; meta l4proto esp return; accept; }", "in"},
	{"ESP may return", "chain e { ip saddr 192.0.2.7 return; accept; }; chain a { " + input + "jump e; drop; }", "in"},
	{"translated", "chain a { type nat hook postrouting priority 100; ip saddr 192.0.2.0/24 masquerade; }", "in out"},
	{"TCP translated", "chain a { type nat hook prerouting priority -100; tcp dport 80 redirect to :8080; }", ""},
	{"sent by connections", "chain a { " + output + "policy drop; ct state established accept; }", "in out"},
	{"routed by rules", "chain a { type route hook output priority 0; meta mark set 7; }", "out"},
	{"a set that counts", "set s { type ipv4_addr; counter; elements = { 192.0.2.7 }; }; chain a { " + input + "ip saddr @s accept; }", "in"},
	{"a set that is filled", "set s { type ipv4_addr; flags dynamic; }; chain a { " + input + "add @s { ip saddr }; }", "in"},
}

// TestRulesets: what concerns ESP in any doubt has it go through the IP stack, in the directions
// that the chains see.
func TestRulesets(t *testing.T) {
	h := newHost(t)
	for _, tt := range rulesets {
		if err := rulesOf(h, "inet", tt.chains); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		v := look(t, h)
		for _, d := range []struct {
			name string
			err  error
		}{{"in", v.In}, {"out", v.Out}} {
			if errors.Is(d.err, ErrFirewall) {
				got = append(got, d.name)
			} else if d.err != nil {
				t.Errorf("%s: %v", tt.name, d.err)
			}
		}
		if got := strings.Join(got, " "); got != tt.concerns {
			t.Errorf("%s: it concerns %q, want %q: %v, %v", tt.name, got, tt.concerns, v.In, v.Out)
		}
		if v := look(t, h, "t"); v != (Verdict{}) {
			t.Errorf("%s: in a table of ours: %v", tt.name, v)
		}
		if err := h.NFT("delete table inet t"); err != nil {
			t.Fatal(err)
		}
	}
	if v := look(t, h); v != (Verdict{}) {
		t.Errorf("without rules: %v", v)
	}
}

// BenchmarkFirewall is the time of one look at many rules.
func BenchmarkFirewall(b *testing.B) {
	h, err := netlab.Need(b).Host("policy")
	if err != nil {
		b.Fatal(err)
	}
	for _, rules := range []int{10, 1000} {
		if err := rulesOf(h, "inet", "chain a { "+input+strings.Repeat("tcp dport 22 counter drop; ", rules)+"}"); err != nil {
			b.Fatal(err)
		}
		b.Run(strconv.Itoa(rules), func(b *testing.B) {
			if err := h.Do(func() error {
				for b.Loop() {
					if v := Firewall(nil); v != (Verdict{}) {
						b.Fatal(v)
					}
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		})
		if err := h.NFT("delete table inet t"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestFamilies: tables of one family concern its packets, those of devices and bridges what passes
// by them.
func TestFamilies(t *testing.T) {
	h := newHost(t)
	for _, tt := range []struct {
		family, chains string
		in             bool
	}{
		{"ip", "chain a { " + input + "ip protocol esp drop; }", true},
		{"ip6", "chain a { " + input + "meta l4proto esp drop; }", true},
		{"ip", "chain a { " + input + "ip protocol esp accept; drop; }", false},
		{"ip6", "chain a { " + input + "ip6 nexthdr esp accept; drop; }", false},
		{"netdev", "chain a { type filter hook ingress device lo priority 0; drop; }", true},
		{"netdev", "chain a { type filter hook egress device lo priority 0; drop; }", false},
		{"inet", "chain a { type filter hook ingress device lo priority 0; drop; }", true},
		{"arp", "chain a { type filter hook input priority 0; drop; }", false},
	} {
		if err := rulesOf(h, tt.family, tt.chains); err != nil {
			t.Errorf("%s: %v", tt.family, err)
			continue
		}
		if v := look(t, h); (v.In != nil) != tt.in || v.Out != nil {
			t.Errorf("%s { %s }: %v", tt.family, tt.chains, v)
		}
		if err := h.NFT("delete table " + tt.family + " t"); err != nil {
			t.Fatal(err)
		}
	}
}
