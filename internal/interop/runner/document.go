package runner

import (
	"fmt"
	"strings"

	"culvert/internal/interop"
)

// head is the beginning of docs/interop.md.
const head = `# culvert beside other implementations

Written by ` + "`make interop`" + ` from what came of its cells; a short form is a part of ` + "`make test`" + `
(` + "`internal/e2e` TestInterop" + `). Each cell is a tunnel between culvert and another implementation,
with real packets:

1. it comes up, begun by the side that the cell names; what NAT detection says is checked;
2. 50 UDP datagrams a second go each way on each child, and are counted, until the hard lifetimes
   of the first SAs are over (Child SA 7 s, IKE SA between 6 and 7 s, an authentication 12 s), while
   one side, which the cell names, rekeys the Child SAs after 4 s and the IKE SA after 6 s
   (OpenIKED, which has one limit for both: after 5 or 6 s, and 7 s);
3. others must have taken the place of all these SAs, at no time may there be none, and no datagram
   may be lost (where one side authenticates again: at most 5 of 600 in a stream);
4. pings and TCP go both ways before and afterwards (in transport mode, TCP to the side that is not
   behind a NAT);
5. the side that connected takes the tunnel down, and the other notices;
6. all the time the link is watched: a packet of the protected networks in the clear, or in
   transport mode one between the two hosts, fails the cell.

Of the axes (who initiates, who rekeys, PSK, RSA, ECDSA and Ed25519, NATs, IPv4 and IPv6, features)
each value stands beside each value of every other axis in at least one cell. This is not their
whole product. Peers whose packets a kernel carries run in a guest: Linux in user mode, whose clock
stands still while it computes. In their cells each feature occurs at least once, and each value of
another axis, and transport mode, beside each value of every other one. Each algorithm has a cell of
its own: a rekeying to it, and 64 KiB each way; with "IKE" the IKE SA is rekeyed, and then the Child
SA under its keys.

| feature | |
| --- | --- |
| own defaults | neither side has proposals configured |
| fragments | both sides send IKE in datagrams of at most 576 octets (OpenIKED over IPv6: 1280), which are counted on the wire |
| cookies | the responder wants a cookie, which is counted on the wire; culvert wants one for a key exchange that takes it long, and its IKE SA is rekeyed after 24 s there |
| several children | three Child SAs of one IKE SA, one of them with IPv6 |
| ranges and ports | selectors of address ranges, and of a UDP port |
| PFS | the side that is named allows nothing else, and the other allows both |
| childless | the initiator makes no IKE SA with a Child SA (RFC 6023); the first Child SA then has a key exchange of its own |
| a Child SA for each pair | culvert has one child with two networks and ` + "`children = \"per-pair\"`" + `, and the peer has one for each of the networks |

Certificates are of an intermediate authority on each side, which the other side does not have.
Combinations that exclude each other are left out: with a pre-shared key all messages fit into the
smallest datagram, so there is nothing to fragment.
`

// document returns docs/interop.md.
func document(r interop.Records) string {
	var b strings.Builder
	b.WriteString(head)
	for _, p := range interop.Peers {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n", p.Name, p.Form)
		if version := version(r, p); version != "" {
			fmt.Fprintf(&b, "\n    %s\n", version)
		}
		limits(&b, p)
		b.WriteString("\n| cell | result | |\n| --- | --- | --- |\n")
		for _, c := range p.Cells() {
			one, has := r[c.Name()]
			result := "not run"
			if has {
				result = one.Verdict()
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", c.Short(), result, strings.ReplaceAll(one.Figures(), "|", "/"))
		}
	}
	return b.String()
}

func limits(b *strings.Builder, p interop.Peer) {
	if len(p.Limits) == 0 {
		return
	}
	b.WriteString("\nNot run:\n\n")
	for _, l := range p.Limits {
		fmt.Fprintf(b, "- %s: %s\n", l.What, l.Why)
	}
}

// version is what the peer said of itself in any cell.
func version(r interop.Records, p interop.Peer) string {
	for _, c := range p.Cells() {
		if v := r[c.Name()].Version; v != "" {
			return v
		}
	}
	return ""
}
