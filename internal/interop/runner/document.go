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
   one side, which the cell names, rekeys the Child SAs after 4 s and the IKE SA after 6 s;
3. others must have taken the place of all these SAs, at no time may there be none, and no datagram
   may be lost (where one side authenticates again: at most 5 of 600 in a stream);
4. pings and TCP go both ways before and afterwards;
5. the side that connected takes the tunnel down, and the other notices;
6. all the time the link is watched: a packet of the protected networks in the clear fails the cell.

Of the axes (who initiates, who rekeys, PSK, RSA, ECDSA and Ed25519, NATs, IPv4 and IPv6, features)
each value stands beside each value of every other axis in at least one cell. This is not their
whole product. Peers whose packets a kernel carries run in a guest, an emulated machine with that
kernel, which takes minutes for each cell: their cells have each value at least once, and lifetimes
are twice as long. Of them, those that are said not to have run need more time than there was. Each
algorithm has a cell of its own: a rekeying to it, and 64 KiB each way; with "IKE" the IKE SA is
rekeyed, and then the Child SA under its keys. "own defaults" means that neither side has proposals
configured. With "fragments" both sides send IKE in datagrams of at most 576 octets, and with
"cookies" the responder wants a cookie: both are counted on the wire. Culvert wants one for a key
exchange that takes it long; its IKE SA is rekeyed after 24 s there. With "PFS" the side that is
named allows nothing else, and the other allows both.

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
	b.WriteString("\n## Not run at all\n\n")
	for _, l := range interop.NotRun {
		fmt.Fprintf(&b, "- %s: %s\n", l.What, l.Why)
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
