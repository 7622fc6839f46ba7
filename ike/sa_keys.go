package ike

import (
	"errors"

	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// saKeys holds an IKE SA's keys and what was negotiated with them, once the key exchange is done.
type saKeys struct {
	proposal wire.Proposal
	suite    *suite.IKESuite
	keys     *suite.Keys
	out, in  *suite.Protector
	nonces   noncePair // of the exchange that created the IKE SA
	fragment int       // largest unfragmented IP datagram (RFC 7383); 0: no fragments; receivesFragments
}

// initKeys derives the keys of IKE_SA_INIT (RFC 7296, Section 2.14). Like all functions here that
// derive keys, it clears the shared secret.
func (s *ikeSA) initKeys(chosen wire.Proposal, shared []byte) (saKeys, error) {
	k, err := s.e.newKeys(s.spi, s.initiator, chosen, s.setup.nonces, shared, func(k *suite.KeySchedule) error {
		k.Init(shared)
		return nil
	})
	s.e.tellKeys(s.spi, &k)
	return k, err
}

// rekeyKeys derives the keys of the IKE SA s, which replaces old (RFC 7296, Section 2.18).
func (s *ikeSA) rekeyKeys(old *ikeSA, chosen wire.Proposal, shared []byte, n noncePair) (saKeys, error) {
	k, err := s.e.newKeys(s.spi, s.initiator, chosen, n, shared, func(k *suite.KeySchedule) error {
		if old.keys.keys == nil {
			return errNoSA
		}
		k.Rekey(old.keys.suite.Prf(), old.keys.keys.D, shared)
		return nil
	})
	s.e.tellKeys(s.spi, &k)
	return k, err
}

// newKeys derives keys by a schedule that seed initialises.
func (e *Engine) newKeys(spi spiPair, initiator bool, chosen wire.Proposal, n noncePair, shared []byte, seed func(*suite.KeySchedule) error) (saKeys, error) {
	defer clear(shared)
	su, err := suite.NewIKESuite(chosen)
	if err != nil {
		return saKeys{}, err
	}
	schedule := su.Schedule(n.Ni, n.Nr, spi.I, spi.R)
	if err := seed(schedule); err != nil {
		return saKeys{}, err
	}
	k := saKeys{proposal: chosen, suite: su, nonces: n, keys: schedule.Keys()}
	k.out, k.in, err = su.Protectors(k.keys, initiator, e.cfg.Rand)
	return k, err
}

// forget clears the keys of an IKE SA that has ended. Unfinished computations find no keys.
func (k *saKeys) forget() {
	if k.keys != nil {
		k.keys.Clear()
	}
	*k = saKeys{}
}

var errNoSA = errors.New("the IKE SA has no keys")

// childSA returns the Child SA that an exchange negotiated, with its keys (RFC 7296, Section 2.17).
// creator means that we initiated the exchange.
func (s *ikeSA) childSA(chosen wire.Proposal, shared []byte, n noncePair, creator bool) (ipsec.ChildSA, error) {
	defer clear(shared)
	if s.keys.suite == nil {
		return ipsec.ChildSA{}, errNoSA
	}
	su, err := suite.NewESPSuite(chosen)
	if err != nil {
		return ipsec.ChildSA{}, err
	}
	fromI, fromR := su.ChildKeys(s.keys.suite.Prf(), s.keys.keys.D, shared, n.Ni, n.Nr)
	sa := ipsec.ChildSA{
		Cipher: su.Cipher, ESN: su.ESN,
		KeyIn: fromR, KeyOut: fromI, Path: s.net.espPath(),
	}
	if !creator {
		sa.KeyIn, sa.KeyOut = fromI, fromR
	}
	return sa, nil
}

// maxDatagram returns the greatest length of an unfragmented message in octets, or 0 if there is no
// limit.
func (s *ikeSA) maxDatagram() int {
	if s.keys.fragment <= 0 || s.net.Stream() { // RFC 9329, Section 7.5
		return 0
	}
	return s.keys.fragment - s.net.Headers()
}

// seal protects a message. It splits a long one into fragments if both sides support them.
func (s *ikeSA) seal(ex wire.ExchangeType, response bool, id uint32, ps []wire.Payload) ([][]byte, error) {
	if s.keys.out == nil {
		return nil, errNoSA
	}
	return s.keys.out.SealFragments(s.header(ex, response, id), ps, s.maxDatagram())
}

// header returns the header of a message of ours.
func (s *ikeSA) header(ex wire.ExchangeType, response bool, id uint32) wire.Header {
	return wire.Header{InitiatorSPI: s.spi.I, ResponderSPI: s.spi.R, Exchange: ex, Initiator: s.initiator, Response: response, MessageID: id}
}
