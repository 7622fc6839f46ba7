package ike

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/identity"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// ikeSA is one IKE SA, from the first thought of it until the last answer of it is forgotten.
type ikeSA struct {
	e              *Engine
	peer           *peer // nil: a responder that does not know yet
	spi            spiPair
	initiator      bool // we are the original initiator
	state          saState
	net            network
	keys           saKeys
	win            window.Window[path]
	retransmission timer
	setup          *setup    // nil once established
	handshake      handshake // of a responder, over several requests; nil: none
	afterAuth      uint32    // ID of the peer's first request after IKE_AUTH
	work           work
	pairs          []*pair // its Child SAs, by birth
	life           life
	live           liveness
	succ           succession
	remoteID       identity.ID
	init           initKey      // the IKE_SA_INIT request that made it, where we responded
	source         netip.Prefix // where that came from, until it is authenticated
}

// spiPair is the two SPIs of an IKE SA.
type spiPair struct{ I, R wire.SPI }

// life is an IKE SA's dates.
type life struct {
	born, established time.Time
	since             time.Time // when the first of the succession was established: what is shown to people, who see no rekeying
	rekeyAt           time.Time
	rekey, hard       timer // hard is also the end of a half-open SA and of a dead one
	tries             int   // refusals of our rekeying in a row
	refs              []uint64
}

// ours is the SPI that we chose, by which datagrams find the SA.
func (s *ikeSA) ours() wire.SPI {
	if s.initiator {
		return s.spi.I
	}
	return s.spi.R
}

// saTable is all IKE SAs.
type saTable struct {
	bySPI    map[wire.SPI]*ikeSA
	inits    map[initKey]*ikeSA // those that answered, by the whole request
	halfOpen halfOpenTable
}

// initKey tells IKE_SA_INIT requests apart: "a robust responder will do the IKE SA lookup using the whole packet, its hash, or the Ni payload" (RFC 7296,
// Section 2.1). The address is in it: the answer must not go where somebody else sends a copy from.
type initKey [sha256.Size]byte

func keyOf(d Datagram) initKey {
	h := sha256.New()
	addr, _ := d.Remote.MarshalBinary()
	h.Write([]byte{byte(len(addr))})
	h.Write(addr)
	h.Write(d.Data)
	return initKey(h.Sum(nil))
}

// newSA enters an IKE SA with a fresh SPI of ours into the table.
func (e *Engine) newSA(initiator bool, state saState) (*ikeSA, error) {
	spi, err := e.freshSPI()
	if err != nil {
		return nil, err
	}
	s := &ikeSA{e: e, initiator: initiator, state: state}
	if initiator {
		s.spi.I = spi
	} else {
		s.spi.R = spi
	}
	s.life.born = e.handling.now
	s.life.rekey.fire = s.rekeyDue
	s.life.hard.fire = s.hardEnd
	s.retransmission.fire = s.retransmit
	s.live.check.fire = s.liveCheck
	e.sas.bySPI[spi] = s
	return s, nil
}

// freshSPI is random, not zero and not in use.
func (e *Engine) freshSPI() (wire.SPI, error) {
	for {
		b, err := e.random(8)
		if err != nil {
			return 0, err
		}
		spi := wire.SPI(binary.BigEndian.Uint64(b))
		if _, used := e.sas.bySPI[spi]; !used && spi != 0 {
			return spi, nil
		}
	}
}

// random reads n octets of the injected randomness.
func (e *Engine) random(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(e.cfg.Rand, b)
	return b, err
}

// nonceLen is at least half the key size of every PRF (RFC 7296, Section 2.10).
const nonceLen = 32

func (e *Engine) nonce() ([]byte, error) { return e.random(nonceLen) }

// moveTo is the one setter of the state.
func (s *ikeSA) moveTo(to saState) {
	mustMove("an IKE SA", s.state, to, saMoves[s.state])
	if to == saEstablished || to == saGone {
		s.e.sas.halfOpen.remove(s)
	}
	s.state = to
	s.e.touch(s.peer)
}

// lingerDead is how long the last answer of an ended IKE SA is still given to a peer that asks again.
const lingerDead = 30 * time.Second

// end is the end of the IKE SA and its Child SAs on our side. With an answer in the cache that the peer may not have, it stays a while to
// give it again.
func (s *ikeSA) end(cause endCause, why string) {
	if s.state.ended() {
		return
	}
	established := (s.state == saEstablished || s.state == saClosing) && !s.life.established.IsZero()
	if cause == endDead || cause == endMoved {
		s.acceptPeers()
	}
	s.abandonWork(why)
	s.cancelSuccession()
	for _, p := range slices.Clone(s.pairs) {
		p.lost(cause, why)
	}
	if established {
		s.notice(Info, "ike-down", "IKE SA ended: "+why)
	}
	if s.win.HasResponse() {
		s.moveTo(saDead)
		s.stopTimers()
		s.setup = nil
		s.e.after(&s.life.hard, lingerDead)
	} else {
		s.remove()
	}
	if s.peer != nil {
		s.peer.ended(s, cause, why)
	}
}

// remove forgets the IKE SA.
func (s *ikeSA) remove() {
	s.stopTimers()
	if s.state != saGone {
		s.moveTo(saGone)
	}
	delete(s.e.sas.bySPI, s.ours())
	if s.e.sas.inits[s.init] == s {
		delete(s.e.sas.inits, s.init)
	}
	s.setup = nil
	s.keys.forget()
	if s.peer != nil {
		s.peer.sas = slices.DeleteFunc(s.peer.sas, func(o *ikeSA) bool { return o == s })
	}
}

func (s *ikeSA) stopTimers() {
	for _, t := range []*timer{&s.life.rekey, &s.life.hard, &s.retransmission, &s.live.check} {
		s.e.timers.stop(t)
	}
	if s.setup != nil {
		s.e.timers.stop(&s.setup.init.grace)
	}
}

// usable says whether new exchanges may be started on it.
func (s *ikeSA) usable() bool { return s.state == saEstablished && s.succ.parent == nil }

// connecting says whether it is our own try to bring the peer up.
func (s *ikeSA) connecting() bool { return s.state == saConnecting || s.state == saAuthenticating }

// localAddr is our outer address towards remote for a peer: the configured one, or what the system says.
func (e *Engine) localAddr(p *peer, remote netip.Addr) netip.Addr {
	if p.cfg.Local.IsValid() || e.cfg.LocalAddr == nil {
		return p.cfg.Local
	}
	return e.cfg.LocalAddr(remote)
}
