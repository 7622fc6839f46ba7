package dataplane

import "sync/atomic"

// A reason is why a packet was dropped, or another counted event. RFC 4301, Section 2.1 and RFC
// 4303, Section 4 make most of them auditable events.
type reason uint8

const (
	dropShort      reason = iota // RFC 4303, Section 2: too short, or invalid padding
	dropReplay                   // RFC 4303, Section 3.4.3
	dropICV                      // RFC 4303, Section 3.4.4
	dropDummy                    // RFC 4303, Section 2.6: next header 59
	dropBadInner                 // not an IP packet, or not of the version of its next header
	dropSelector                 // RFC 4301, Section 5.2, step 5
	dropErrorIn                  // RFC 4301, Section 6.2: an ICMP error about traffic that the SA does not carry
	dropFragmentIn               // RFC 4301, Section 7.3: a later fragment without its first, or over it
	dropNoiseIn                  // multicast, broadcast and link-local, within the SA's selectors
	dropHeldIn                   // an operator took the policy down, and the SA is being deleted
	dropECN                      // RFC 6040, Section 4.2: CE outside, not ECN-capable inside
	dropExpired                  // the SA reached its hard limit (RFC 4301, Section 4.4.2.1)
	dropTUNFull
	dropTUNError
	dropTooBig // larger than the SA's inner MTU, and must not be fragmented
	dropSend
	dropUnrecorded  // the next sequence numbers of a manual SA are not on record, so that a restart could repeat them
	dropNotGranted  // RFC 4301, Section 5.1.1, b1: the policy's, but outside of what the peer granted to its SAs
	dropHeader      // RFC 4303, Section 3.1.1: options or extension headers that transport mode does not carry
	countECNAlarm   // RFC 6040, Section 4.2: a combination that no correct tunnel produces
	numChildReasons // the reasons above are also counted per SA
)

const (
	dropUnknownSPI  reason = iota + numChildReasons // RFC 4303, Section 3.4.2: no SA
	dropEarly                                       // came before its SA, and there was no room, or the SA did not come
	dropStray                                       // reached the control plane's socket faster than it could be handed over
	dropBadPacket                                   // not an IP packet, from the TUN
	dropNoise                                       // multicast, broadcast and link-local that no tunnel carries
	dropNoPolicy                                    // RFC 4301, Section 5.1: no SPD entry
	dropNoSA                                        // no SA, and not in the acquire queue, or there for too long
	dropHeld                                        // RFC 4301, Section 4.4.1: an operator took the policy down, so it discards
	dropErrorOut                                    // RFC 4301, Section 6.2: an ICMP error about traffic that no policy covers
	dropFragmentOut                                 // RFC 4301, Section 7.3: a later fragment without its first, or over it
	dropErrorNoSA                                   // RFC 4301, Section 6.2: an ICMP error about traffic of an SA that does not exist

	countPMTUIgnored   // ICMP that quotes no live SA, or too little
	countPMTUICMP      // ICMP that was accepted
	countPMTUProbe     // probes sent
	countPMTUAnswer    // answers to probes
	countPMTUAsked     // sizes that IKE was asked to probe
	countPMTUPassed    // those of them that passed
	countPMTUBlackHole // probes found that a size in use no longer passes

	countRecvError
	countIKE // came with ESP, or on a system where both share a socket
	countICMP
	countPanic        // the SA that a bug concerns is unknown
	countErrorCarried // ICMP errors sent with the flow of the packet that they quote
	countUnanswered   // paths on which packets were sent, and none came any more
	countUnheard      // times at which packets had been sent on a path for long, and none came
	countEarly        // ESP that came before its SA and was kept
	countStolen       // batches that another worker took over
	countPutOff       // batches sealed whose turn to be sent had not come
	countPortLost     // UDP source ports that stopped to work
	countCopied       // copies of packets, sent on an SA that is tried
	numReasons
)

// reasonNames are the names in Counters and, for reasons counted per SA, in ChildStats.
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
	dropHeldIn:     {"esp_down", "down"},
	dropECN:        {"esp_ecn", "ecn"},
	dropExpired:    {"sa_expired", "expired"},
	dropStray:      {"esp_stray", ""},
	dropEarly:      {"esp_early_dropped", ""},
	dropTUNFull:    {"tun_full", "tun_full"},
	dropTUNError:   {"tun_write_errors", "tun_write_errors"},

	dropBadPacket:   {"out_bad_packet", ""},
	dropNoise:       {"out_noise", ""},
	dropNoPolicy:    {"out_no_policy", ""},
	dropNoSA:        {"out_no_sa", ""},
	dropHeld:        {"out_down", ""},
	dropErrorOut:    {"out_icmp_no_policy", ""},
	dropFragmentOut: {"out_fragment", ""},
	dropErrorNoSA:   {"out_icmp_no_sa", ""},
	dropTooBig:      {"out_too_big", "too_big"},
	dropSend:        {"out_send_errors", "send_errors"},
	dropUnrecorded:  {"out_unrecorded", "unrecorded"},
	dropNotGranted:  {"out_not_granted", "not_granted"},
	dropHeader:      {"out_header", "header"},

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
	countUnanswered:   {"sa_unanswered", ""},
	countUnheard:      {"sa_unheard", ""},
	countStolen:       {"batches_stolen", ""},
	countPutOff:       {"batches_put_off", ""},
	countCopied:       {"out_copied", ""},
	countPortLost:     {"source_ports_lost", ""},
	countEarly:        {"esp_early", ""},
	countPanic:        {"panics", ""},
}

// cacheLine is an upper bound for common processors, some of which fetch two adjacent lines
// together.
const cacheLine = 128

// A tally holds one worker's counters. Only that worker adds to them, so that none contends for a
// cache line; any goroutine may read them.
type tally struct {
	_ [cacheLine]byte
	n [numReasons]atomic.Uint64
	_ [cacheLine]byte
}

func (t *tally) add(r reason, n int) { t.n[r].Add(uint64(n)) }

// Counters returns the drops by reason, and the other counts, of the whole plane since New. Any
// goroutine may call it.
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

// A drops is a Child SA pair's own count of drops. Workers share it: drops are rare, or the
// sender's fault.
type drops [numChildReasons]atomic.Uint64

// drop counts a packet for an SA and for the plane.
func (th *thread) drop(c *pair, r reason) { th.dropAll(c, r, 1) }

// dropAll counts n packets for an SA and for the plane.
func (th *thread) dropAll(c *pair, r reason, n int) {
	c.drops[r].Add(uint64(n))
	th.tally.add(r, n)
}
