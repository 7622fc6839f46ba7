package bench

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The kinds of link between the gateways.
const (
	LinkNIC  = "nic"  // packets are cut to the MTU before the link, with whole checksums, and joined behind it
	LinkVeth = "veth" // a veth pair as it is: it hands over what its sender has joined
)

// A Layout is what stands around the subjects.
type Layout struct {
	Link      string // LinkNIC or LinkVeth; empty: LinkNIC
	Forwarded bool   // the traffic is of hosts behind the gateways, not of the gateways
	Firewall  bool   // both gateways have a stateful packet filter
	Peers     int    // tunnels between the gateways, with traffic on each; 0 is 1
	CoreList  string // numbers of cores, separated by commas; empty: all
}

// MaxPeers is the greatest number of tunnels: each has a remote address of its own.
const MaxPeers = 60000

// register adds the flags of a layout.
func (l *Layout) register(f *flag.FlagSet) {
	f.StringVar(&l.Link, "link", LinkNIC, "the `link` between the gateways: nic, like network cards, or veth, which hands joined packets over whole")
	f.BoolVar(&l.Forwarded, "forwarded", false, "send and receive on hosts behind the gateways")
	f.BoolVar(&l.Firewall, "firewall", false, "give both gateways a stateful packet filter (needs nft)")
	f.IntVar(&l.Peers, "peers", 1, "measure this `number` of tunnels between the gateways, with traffic on all; other subjects than culvert have one")
	f.StringVar(&l.CoreList, "cores", "", "measure everything with each of these `numbers` of cores, separated by commas, such as 1,2,4; default: all")
}

// check returns an error if the layout is not usable.
func (l *Layout) check(cores int) error {
	switch {
	case l.Link != LinkNIC && l.Link != LinkVeth && l.Link != "":
		return fmt.Errorf("unknown link %q in -link: use nic or veth", l.Link)
	case l.Peers < 0 || l.Peers > MaxPeers:
		return fmt.Errorf("-peers must be between 1 and %d", MaxPeers)
	}
	_, err := l.cores(cores)
	return err
}

// cores returns the numbers of cores to measure with, of which the machine offers some. Without
// -cores it is only 0, for all of them.
func (l *Layout) cores(offered int) ([]int, error) {
	if l.CoreList == "" {
		return []int{0}, nil
	}
	var list []int
	for word := range strings.SplitSeq(l.CoreList, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		switch {
		case err != nil || n < 1:
			return nil, fmt.Errorf("%q in -cores is not a number of cores", word)
		case n > offered:
			return nil, fmt.Errorf("-cores %d: this machine offers %d", n, offered)
		case slices.Contains(list, n):
			return nil, errors.New("-cores names a number twice")
		}
		list = append(list, n)
	}
	return list, nil
}

// peers returns the number of tunnels.
func (l *Layout) peers() int { return max(l.Peers, 1) }

// String describes the layout for a report.
func (l *Layout) String() string {
	words := []string{"link like a network card's"}
	if l.Link == LinkVeth {
		words[0] = "veth as it is"
	}
	if l.Forwarded {
		words = append(words, "forwarded traffic")
	}
	if l.Firewall {
		words = append(words, "stateful packet filters")
	}
	if l.peers() > 1 {
		words = append(words, fmt.Sprintf("%d tunnels", l.peers()))
	}
	return strings.Join(words, ", ")
}
