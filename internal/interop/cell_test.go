package interop

import (
	"strings"
	"testing"
)

// Names tell all cells apart, those of a peer without its name as well.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Peers {
		for _, c := range p.Cells() {
			if name := c.Name(); seen[name] || name != p.Name+": "+c.Short() || strings.ContainsAny(name, "|\n") {
				t.Errorf("the name %q is that of another cell, or does not fit into a table", name)
			}
			seen[c.Name()] = true
		}
	}
	c := Cell{Peer: "x", Initiator: Them, Rekeys: Culvert, Auth: RSA, NAT: NATBoth, Outer: IPv6, Feature: Ports}
	if got, want := c.Name(), "x: peer initiates, culvert rekeys, RSA, NAT at both, IPv6, ranges and ports"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// The product has every combination once but for those that exclude each other.
func TestProduct(t *testing.T) {
	all, with := 1, 0
	for _, a := range axes {
		all *= len(a.values)
	}
	seen := map[Cell]bool{}
	for _, c := range (Peer{Name: "x"}).product() {
		if seen[c] || c.Feature == Fragments && c.Auth == PSK {
			t.Fatalf("%s is there twice or cannot be", c.Name())
		}
		if seen[c] = true; c.Peer == "x" {
			with++
		}
	}
	if want := all - 2*2*4*2; with != want {
		t.Errorf("%d cells, want %d", with, want)
	}
}
