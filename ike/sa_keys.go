package ike

import (
	"errors"

	"culvert/esp"
	"culvert/ike/suite"
	"culvert/ike/wire"
)

// saKeys is an IKE SA's cryptography, once the key exchange is done.
type saKeys struct {
	proposal wire.Proposal
	suite    *suite.IKESuite
	keys     *suite.Keys
	out, in  *suite.Protector
	nonces   noncePair // of the exchange that made the SA
	fragment int       // greatest IP datagram that is not fragmented (RFC 7383); 0: the peers do not both do it
}

// initKeys derives the keys of IKE_SA_INIT (RFC 7296, Section 2.14), and clears the shared secret, as
// all functions here do that derive keys.
func (s *ikeSA) initKeys(chosen wire.Proposal, shared []byte) (saKeys, error) {
	return s.newKeys(chosen, s.setup.nonces, shared, func(k *suite.KeySchedule) error {
		k.Init(shared)
		return nil
	})
}

// rekeyKeys derives the keys of the IKE SA s, which replaces old (RFC 7296, Section 2.18).
func (s *ikeSA) rekeyKeys(old *ikeSA, chosen wire.Proposal, shared []byte, n noncePair) (saKeys, error) {
	return s.newKeys(chosen, n, shared, func(k *suite.KeySchedule) error {
		if old.keys.keys == nil {
			return errNoSA
		}
		k.Rekey(old.keys.suite.Prf(), old.keys.keys.D, shared)
		return nil
	})
}

// newKeys derives keys by a schedule that seed gets to seed.
func (s *ikeSA) newKeys(chosen wire.Proposal, n noncePair, shared []byte, seed func(*suite.KeySchedule) error) (saKeys, error) {
	defer clear(shared)
	su, err := suite.NewIKESuite(chosen)
	if err != nil {
		return saKeys{}, err
	}
	schedule := su.Schedule(n.Ni, n.Nr, s.spi.I, s.spi.R)
	if err := seed(schedule); err != nil {
		return saKeys{}, err
	}
	k := saKeys{proposal: chosen, suite: su, nonces: n, keys: schedule.Keys()}
	k.out, k.in, err = su.Protectors(k.keys, s.initiator, s.e.cfg.Rand)
	return k, err
}

// forget clears the keys of an IKE SA that is no more. What was under way on it finds none.
func (k *saKeys) forget() {
	if k.keys != nil {
		k.keys.Clear()
	}
	*k = saKeys{}
}

var errNoSA = errors.New("the IKE SA has no keys")

// childSA is the pair that an exchange agreed on, with its keys (RFC 7296, Section 2.17). Creator says that we initiated the exchange.
func (s *ikeSA) childSA(chosen wire.Proposal, shared []byte, n noncePair, creator bool) (esp.ChildSA, error) {
	defer clear(shared)
	if s.keys.suite == nil {
		return esp.ChildSA{}, errNoSA
	}
	su, err := suite.NewESPSuite(chosen)
	if err != nil {
		return esp.ChildSA{}, err
	}
	fromI, fromR := su.ChildKeys(s.keys.suite.Prf(), s.keys.keys.D, shared, n.Ni, n.Nr)
	sa := esp.ChildSA{
		Cipher: esp.Cipher{ID: uint16(su.Cipher), KeyBits: su.KeyBits}, ESN: su.ESN,
		KeyIn: fromR, KeyOut: fromI, Endpoint: s.net.endpoint(s.e),
	}
	if !creator {
		sa.KeyIn, sa.KeyOut = fromI, fromR
	}
	return sa, nil
}

// Overheads of a datagram before the IKE header.
const (
	ipv4UDPHeaders = 20 + 8
	ipv6UDPHeaders = 40 + 8
	nonESPMarker   = 4
)

// maxDatagram is the greatest message that is not fragmented; zero: no limit.
func (s *ikeSA) maxDatagram() int {
	if s.keys.fragment <= 0 {
		return 0
	}
	n := s.keys.fragment - ipv4UDPHeaders
	if s.net.remote.Addr().Is6() {
		n = s.keys.fragment - ipv6UDPHeaders
	}
	if s.net.natPort {
		n -= nonESPMarker
	}
	return n
}

// seal protects a message, in fragments if it is too long for one datagram and both sides know how.
func (s *ikeSA) seal(ex wire.ExchangeType, response bool, id uint32, ps []wire.Payload) ([][]byte, error) {
	if s.keys.out == nil {
		return nil, errNoSA
	}
	return s.keys.out.SealFragments(s.header(ex, response, id), ps, s.maxDatagram())
}

// header is that of a message of ours.
func (s *ikeSA) header(ex wire.ExchangeType, response bool, id uint32) wire.Header {
	return wire.Header{InitiatorSPI: s.spi.I, ResponderSPI: s.spi.R, Exchange: ex, Initiator: s.initiator, Response: response, MessageID: id}
}
