package ike

import (
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// If the peer does not answer probes in ESP (RFC 8899), INFORMATIONAL exchanges find out how large
// a packet the path takes. The request is padded to the size in question by a Notify payload of the
// private range, which every peer ignores (RFC 7296, Section 3.10.1):
//
//	HDR, SK {N(padding)}  --> one packet with DF
//	                      <-- HDR, SK {}             it passed
//
//	HDR, SK {N(padding)}  --> lost, three times
//	HDR, SK {N(padding)}  --> the same octets, in small IP fragments
//	                      <-- HDR, SK {}             the peer is alive: the size was the cause
//
// The window is one, and a request has to be repeated octet by octet until it is answered, whatever
// the path does. So the first exchange on a path shows that small IP fragments arrive, by a message
// that is small enough to be sent whole if they do not. Only a path that has passed this test is
// probed.

// padding is the Notify payload of a path probe, of the private range.
const padding wire.NotifyType = 61773

const (
	// probeTries is the number of transmissions of one form (RFC 8899, Section 5.1.2: MAX_PROBES).
	probeTries = 3
	// probeLeast and probeMost bound the wait for a response, which is three round trips. Less than
	// a second is not allowed (RFC 8899, Section 5.1.1: PROBE_TIMER).
	probeLeast, probeMost = time.Second, 5 * time.Second
)

// Sizes of IP packets, in octets. A packet of proof4 or proof6 octets passes everywhere (RFC 791,
// Section 3.2; RFC 8200, Section 5), and so do fragments of at most that size.
const (
	proof4, proof6         = 576, 1280
	proofPart4, proofPart6 = 400, 856
)

// prober is an exchange whose request is sent in more than one form.
type prober interface {
	// unanswered handles a missing response. It reports whether it has sent something; otherwise
	// the window repeats the request.
	unanswered(s *ikeSA) bool
	// inParts returns the size of the IP fragments in which the window sends the request, which it
	// has repeated n times; 0: as usual.
	inParts(s *ikeSA, n int) int
	// hurry ends the wait for a response that may not come: another exchange waits, or the path
	// changed.
	hurry(s *ikeSA)
}

// probePath starts the requested probe, or answers that nothing will be learned, as it does while
// there is anything else to do.
func (e *Engine) probePath(in ProbePath) {
	x := &pathProbe{id: in.ID, size: in.Size}
	p := e.pairs.Carried(in.ID)
	if p == nil || !saOf(p).probes.mayProbe() {
		x.tell(e, ipsec.PathUnknown)
		return
	}
	s := saOf(p)
	if s.probes.fragments == fragmentsUnknown {
		s.enqueue(&fragmentProof{probe: x})
		return
	}
	s.enqueue(x)
}

// probing is what the probes of an IKE SA have found out about its path.
type probing struct {
	sa        *ikeSA
	fragments fragmentPath
	rtt       roundTrip
}

// mayProbe reports whether a path probe may start at once.
func (g *probing) mayProbe() bool {
	busy := !g.sa.work.Idle() || g.sa.succ.computing()
	return g.sa.usable() && !g.sa.net.Stream() && !busy && !g.sa.e.stopping && !g.sa.net.unsaid && !g.sa.live.Doubted() && g.fragments != fragmentsLost
}

// pathProbe is the exchange that shows whether the path takes a packet of a given size.
type pathProbe struct {
	id    ipsec.ChildID
	size  int       // asked for
	sent  int       // size of the request
	at    time.Time // when its current form was first sent
	tries int       // with DF
	form  probeForm
	told  bool
	haste
}

// probeForm is the form in which the request of a pathProbe was last sent.
type probeForm uint8

const (
	probeWhole   probeForm = iota // one packet with DF
	probeParts                    // in IP fragments, since no response came
	probeUnclear                  // in IP fragments, but the response may answer the whole
)

// tell gives the dataplane the answer, once.
func (x *pathProbe) tell(e *Engine, v ipsec.PathVerdict) {
	if x.told {
		return
	}
	x.told = true
	e.emit(PathProbed{ipsec.PathProbe{ID: x.id, Size: x.size, Sent: x.sent, Verdict: v}})
}

func (x *pathProbe) activity() ikeActivity { return ikeQuiet }

func (x *pathProbe) start(s *ikeSA) {
	data, sent, ok := s.probes.padded(x.size)
	if !ok {
		x.tell(s.e, ipsec.PathUnknown)
		s.done(x)
		return
	}
	s.e.count("ike_path_probes")
	s.win.Send(wire.Informational, [][]byte{data})
	x.sent, x.at = sent, s.e.handling.now
	x.again(s)
}

// again sends the request as one packet with DF.
func (x *pathProbe) again(s *ikeSA) {
	x.tries++
	s.emitRequest(Send{DontFragment: true})
	s.e.after(&s.retransmission, s.probes.wait())
}

func (x *pathProbe) unanswered(s *ikeSA) bool {
	switch {
	case x.form != probeWhole:
		return false
	case x.tries < probeTries:
		x.again(s)
	default:
		x.sendParts(s)
	}
	return true
}

// sendParts sends the same request in fragments.
func (x *pathProbe) sendParts(s *ikeSA) {
	x.form, x.at = probeParts, s.e.handling.now
	s.askRaw(wire.Informational, s.win.Outstanding().Datagrams)
}

// inParts sends every other repetition as usual: the path may have changed since its fragment
// proof.
func (x *pathProbe) inParts(s *ikeSA, n int) int {
	switch {
	case n%2 != 0:
		return 0
	case s.net.Is6():
		return proof6
	}
	return proof4
}

func (x *pathProbe) hurry(s *ikeSA) {
	if again := x.begin(s); s.win.Outstanding() != nil && (x.form == probeWhole || again) {
		x.sendParts(s)
	}
	x.form = probeUnclear
}

// response accepts any authentic response: its content has no meaning.
func (x *pathProbe) response(s *ikeSA, _ []wire.Payload) {
	took := s.e.handling.now.Sub(x.at)
	switch {
	case x.form == probeWhole:
		x.tell(s.e, ipsec.PathPassed)
		if x.tries == 1 {
			s.probes.rtt.measure(took)
		}
	case x.form == probeUnclear || took < time.Duration(s.probes.rtt/2): // it may answer the form with DF
		x.tell(s.e, ipsec.PathUnknown)
	default:
		x.tell(s.e, ipsec.PathLost)
	}
	s.done(x)
}

func (x *pathProbe) abandon(s *ikeSA, _ string) { x.tell(s.e, ipsec.PathUnknown) }

// padded returns an INFORMATIONAL request, and the size of its IP packet: the largest up to size
// octets that the cipher's blocks allow.
func (g *probing) padded(size int) (data []byte, sent int, ok bool) {
	id, ok := g.sa.win.NextID()
	if !ok || g.sa.keys.out == nil {
		return nil, 0, false
	}
	headers := g.sa.net.Headers()
	room := size - headers
	for n, tries := 0, 0; tries < 3; tries++ { // without padding, then with the rest, then a block less
		pad := &wire.Notify{Kind: padding, Data: make([]byte, n)}
		list, err := g.sa.keys.out.SealFragments(g.sa.header(wire.Informational, false, id), []wire.Payload{pad}, 0)
		if err != nil || len(list) != 1 {
			return nil, 0, false
		}
		data = list[0]
		switch over := len(data) - room; {
		case tries == 0 && over > 0:
			return nil, 0, false
		case tries > 0 && over <= 0:
			return data, len(data) + headers, true
		case tries == 0:
			n = -over
		default:
			n -= min(n, cipherBlock)
		}
	}
	return nil, 0, false
}

// cipherBlock is the largest block, in octets, to which a message is padded.
const cipherBlock = 16

// roundTrip is the least round trip measured on a path; 0: unknown. It tells the answer to one form
// of a request from that to the form before.
type roundTrip time.Duration

// measure notes a round trip.
func (r *roundTrip) measure(took time.Duration) {
	if *r <= 0 || took < time.Duration(*r) {
		*r = roundTrip(took)
	}
}

// wait returns how long a response to one form of a probe is awaited.
func (g *probing) wait() time.Duration {
	return min(max(probeLeast, time.Duration(3*g.rtt)), probeMost)
}

// moved forgets what is known about the path, which has changed, and ends a probe under way.
func (g *probing) moved() {
	g.hurry()
	g.fragments, g.rtt = fragmentsUnknown, 0
}

// haste makes the wait of other exchanges for a prober's request begin once.
type haste struct{ begun bool }

// begin reports whether the request is to have all tries of its plan from now on, because it was
// repeated without limit before. Otherwise exchanges that begin to wait one after another would
// keep a dead peer's IKE SA.
func (h *haste) begin(s *ikeSA) bool {
	again := !h.begun && s.win.Outstanding() != nil && s.win.Exhausted(s.plan()) && !s.live.Doubted() && !s.live.silent()
	h.begun = true
	return again
}

// hurry ends a probe under way.
func (g *probing) hurry() {
	if x, ok := g.sa.work.Current().(prober); ok {
		x.hurry(g.sa)
	}
}

// patient reports whether a request is repeated without limit. A path probe must not end an IKE SA
// that would live without it. If the peer's liveness is in question, the probe serves as the
// liveness check instead, with its limit.
func (g *probing) patient() bool {
	if _, probing := g.sa.work.Current().(prober); !probing || g.sa.state != saEstablished {
		return false
	}
	return g.sa.work.Waiting() == 0 && !g.sa.live.Doubted() && !g.sa.net.moving() && !g.sa.live.silent()
}
