package dataplane

import "sync/atomic"

// reason is why a packet went no further, or another thing that is counted. RFC 4301, Section 2.1 and RFC 4303, Section 4 call most of them auditable events.
type reason uint8

const (
	dropShort      reason = iota // RFC 4303, Section 2: too short, or padding that cannot be
	dropReplay                   // RFC 4303, Section 3.4.3
	dropICV                      // RFC 4303, Section 3.4.4
	dropDummy                    // RFC 4303, Section 2.6: next header 59
	dropBadInner                 // not an IP packet, or not the one its next header says
	dropSelector                 // RFC 4301, Section 5.2, step 5
	dropErrorIn                  // RFC 4301, Section 6.2: an ICMP error about what the SA does not carry
	dropFragmentIn               // RFC 4301, Section 7.3: a later fragment without its first, or over it
	dropNoiseIn                  // multicast, broadcast and link-local, within the SA's selectors
	dropECN                      // RFC 6040, Section 4.2: CE outside, not ECN-capable inside
	dropExpired                  // the SA reached its hard limit (RFC 4301, Section 4.4.2.1)
	dropTUNFull
	dropTUNError
	dropTooBig // larger than the SA's inner MTU, and must not be fragmented
	dropSend
	countECNAlarm   // RFC 6040, Section 4.2: a combination that no correct tunnel makes
	numChildReasons // those above can be laid to an SA
)

const (
	dropUnknownSPI  reason = iota + numChildReasons // RFC 4303, Section 3.4.2: no SA
	dropStray                                       // came to the control plane's socket, faster than could be
	dropBadPacket                                   // what the TUN gave is not an IP packet
	dropNoise                                       // multicast, broadcast and link-local: nothing that a tunnel carries
	dropNoPolicy                                    // RFC 4301, Section 5.1: no SPD entry
	dropNoSA                                        // no SA, and it was not kept or not for long enough
	dropErrorOut                                    // RFC 4301, Section 6.2: an ICMP error about what no policy covers
	dropFragmentOut                                 // RFC 4301, Section 7.3: a later fragment without its first, or over it
	dropErrorNoSA                                   // RFC 4301, Section 6.2: or about what an SA would carry that is not there

	countPMTUIgnored   // ICMP that quotes no live SA, or says too little
	countPMTUICMP      // ICMP that was believed
	countPMTUProbe     // sent
	countPMTUAnswer    // that one of ours has passed
	countPMTUAsked     // sizes that IKE was asked to probe
	countPMTUPassed    // and how many passed
	countPMTUBlackHole // a size in use that passes no more was found by probes

	countRecvError
	countIKE // came with ESP, or on a system where the two share a socket
	countICMP
	countPanic        // which SA a bug is about cannot be told
	countErrorCarried // ICMP errors that went with the packet that they quote
	countStolen       // batches that came to another worker
	numReasons
)

// reasonNames are the names in Counters and, for what can be laid to an SA, in ChildStats.
var reasonNames = [numReasons]struct{ plane, child string }{
	dropUnknownSPI: {"esp_unknown_spi", ""},
	dropShort:      {"esp_malformed", "malformed"},
	dropReplay:     {"esp_replay", "replay"},
	dropICV:        {"esp_icv", "icv"},
	dropDummy:      {"esp_dummy", "dummy"},
	dropBadInner:   {"esp_bad_inner", "bad_inner"},
	dropSelector:   {"esp_selector_mismatch", "selector_mismatch"},
	dropErrorIn:    {"esp_icmp_mismatch", "icmp_mismatch"},
	dropFragmentIn: {"esp_fragment", "fragment"},
	dropNoiseIn:    {"esp_noise", "noise"},
	dropECN:        {"esp_ecn", "ecn"},
	dropExpired:    {"sa_expired", "expired"},
	dropStray:      {"esp_stray", ""},
	dropTUNFull:    {"tun_full", "tun_full"},
	dropTUNError:   {"tun_write_errors", "tun_write_errors"},

	dropBadPacket:   {"out_bad_packet", ""},
	dropNoise:       {"out_noise", ""},
	dropNoPolicy:    {"out_no_policy", ""},
	dropNoSA:        {"out_no_sa", ""},
	dropErrorOut:    {"out_icmp_no_policy", ""},
	dropFragmentOut: {"out_fragment", ""},
	dropErrorNoSA:   {"out_icmp_no_sa", ""},
	dropTooBig:      {"out_too_big", "too_big"},
	dropSend:        {"out_send_errors", "send_errors"},

	countPMTUIgnored:   {"pmtu_icmp_ignored", ""},
	countPMTUICMP:      {"pmtu_icmp", ""},
	countPMTUProbe:     {"pmtu_probes", ""},
	countPMTUAnswer:    {"pmtu_answers", ""},
	countPMTUAsked:     {"pmtu_ike_probes", ""},
	countPMTUPassed:    {"pmtu_ike_answers", ""},
	countPMTUBlackHole: {"pmtu_black_holes", ""},

	countRecvError:    {"net_receive_errors", ""},
	countIKE:          {"ike_datagrams", ""},
	countICMP:         {"icmp_sent", ""},
	countErrorCarried: {"icmp_carried", ""},
	countECNAlarm:     {"ecn_alarms", "ecn_alarms"},
	countStolen:       {"batches_stolen", ""},
	countPanic:        {"panics", ""},
}

// cacheLine is an upper bound of the processors that matter (two adjacent lines are fetched together on some).
const cacheLine = 128

// tally is one worker's counters. Only its worker adds to them, so that no cache line is fought for; anyone may read.
type tally struct {
	_ [cacheLine]byte
	n [numReasons]atomic.Uint64
	_ [cacheLine]byte
}

func (t *tally) add(r reason, n int) { t.n[r].Add(uint64(n)) }

// Counters are the drops by reason, and other counts, of the whole plane since it was made. Any goroutine.
func (p *Plane) Counters() map[string]uint64 {
	m := make(map[string]uint64, numReasons)
	for r := range numReasons {
		sum := p.tally.n[r].Load()
		for _, w := range p.workers {
			sum += w.tally.n[r].Load()
		}
		m[reasonNames[r].plane] = sum
	}
	return m
}

// drops is a Child SA pair's own count of drops, shared by the workers: drops are rare, or someone else's cost.
type drops [numChildReasons]atomic.Uint64

// drop counts a packet for an SA and for the plane.
func (th *thread) drop(c *pair, r reason) { th.dropAll(c, r, 1) }

// dropAll counts n packets.
func (th *thread) dropAll(c *pair, r reason, n int) {
	c.drops[r].Add(uint64(n))
	th.tally.add(r, n)
}
