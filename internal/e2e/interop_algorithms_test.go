//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"culvert/internal/interop"
)

// TestStrongSwanAlgorithms goes through all algorithms that strongSwan and culvert share.
func TestStrongSwanAlgorithms(t *testing.T) {
	t.Parallel()
	peer, _ := interop.Find(interop.StrongSwan)
	runAlgorithms(t, peer.Algorithms())
}

// runAlgorithms goes through cells of algorithms of one peer, one by one, by a reload and a
// rekeying: of the Child SA, with packets both ways, and of the IKE SA, with a rekeying of the
// Child SA under the new keys.
func runAlgorithms(t *testing.T, cells []interop.Cell) {
	s := newSetting(t, interop.Cell{Peer: cells[0].Peer, Initiator: interop.Culvert, Rekeys: interop.Culvert, Auth: interop.PSK, NAT: interop.NoNAT, Outer: interop.IPv4})
	peer, _ := interop.Find(s.cell.Peer)
	s.ike, s.esp = peer.IKE, peer.ESP
	version := s.start(t).version()
	left := newGateway(t, s.n.left)
	text := func(ike, esp string) string {
		esn := "never"
		if plain, with := strings.CutSuffix(esp, "-esn"); with {
			esn, esp = "always", plain
		}
		return peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right")+fmt.Sprintf("ike_proposals = [%q]\n", ike),
			swanChildKeys+fmt.Sprintf("  esn = %q\n  proposals = [%q]\n", esn, esp)+boot)
	}
	firstIKE, lastESP := s.ike[0], s.esp[len(s.esp)-1]
	left.start(text(firstIKE, lastESP))
	left.waitUp("right")
	for _, c := range cells {
		begun, name, ike, esp := time.Now(), "right/v4", firstIKE, lastESP
		switch protocol, proposal, _ := strings.Cut(c.Algorithm, " "); protocol {
		case "ESP":
			esp = proposal
		case "IKE":
			name, ike = "right", proposal
		}
		left.write(text(ike, esp))
		left.do("reload")
		left.do("rekey", name)
		left.wait(10*time.Second, ike+" with "+esp, "right", unhurried(func(p peerStatus) bool {
			return p.Proposal == ike && p.Children[0].Proposal == esp
		}))
		if name == "right" {
			left.do("rekey", "right/v4")
		}
		s.n.wantTrafficOf(t, 1<<16, leftLAN4, rightLAN4)
		record(t, interop.Record{Cell: c.Name(), Version: version, Seconds: int(time.Since(begun).Seconds()), Note: "64 KiB each way"})
	}
}
