package ike

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"

	"culvert/ike/child"
	"culvert/ike/wire"
)

// Quick crash detection (RFC 6290). Each side gives the other, protected, a token for the IKE SA
// that it can make again after a crash, from its secret and the SPIs:
//
//	HDR, SK {IDi, AUTH, N(QCD_TOKEN), ...}  -->
//	                                        <--  HDR, SK {IDr, AUTH, N(QCD_TOKEN), ...}
//	                    ... the responder crashes ...
//	HDR, SK {}                              -->
//	                                        <--  HDR, N(INVALID_IKE_SPI), N(QCD_TOKEN)
//
// The last message is not protected, but only the peer can know the token, so the IKE SA ends at
// once. A rekeyed IKE SA needs a token of its own: the responder's is in the response, the
// initiator's in an INFORMATIONAL exchange that follows.

// A CrashTokens holds what an Engine needs for crash tokens.
type CrashTokens struct {
	// Secret makes our tokens. It outlasts the process, and no other engine may have it that is
	// running at the same time: one of them would send the other's valid tokens to anybody (RFC
	// 6290, Section 9.2). Nil: no tokens are made.
	Secret []byte
	Off    bool // neither made nor taken
}

// Bounds of tokens, in octets (RFC 6290, Section 5). Ours are as short as allowed, so that the
// answer is hardly longer than the shortest request.
const (
	crashTokenLen      = 16
	minCrashToken      = 16
	maxCrashToken      = 128
	maxPresentedTokens = 4 // in one message (RFC 6290, Section 4.5)
)

// crashToken returns our token for an IKE SA, or nil if none are made. initiator is our role in it.
func (e *Engine) crashToken(spi spiPair, initiator bool) []byte {
	c := &e.cfg.CrashTokens
	if c.Off || len(c.Secret) == 0 {
		return nil
	}
	mac := hmac.New(sha256.New, c.Secret)
	role := "responder"
	if initiator {
		role = "initiator"
	}
	b := append([]byte("culvert crash token, "), role...)
	b = binary.BigEndian.AppendUint64(b, uint64(spi.I))
	b = binary.BigEndian.AppendUint64(b, uint64(spi.R))
	mac.Write(b)
	return mac.Sum(nil)[:crashTokenLen]
}

// A crashToken is what an IKE SA has of the tokens: the digest of the one that the peer gave us,
// which itself need not be kept.
type crashToken struct {
	sa     *ikeSA
	known  bool
	digest [sha256.Size]byte
}

// notify returns a notify with our token for the IKE SA, or none.
func (t *crashToken) notify() []wire.Payload {
	return tokenNotify(t.sa.e.crashToken(t.sa.spi, t.sa.initiator))
}

func tokenNotify(token []byte) []wire.Payload {
	if token == nil {
		return nil
	}
	return []wire.Payload{&wire.Notify{Protocol: wire.ProtoIKE, Kind: wire.QuickCrashDetection, Data: token}}
}

// give sends our token for an IKE SA that our rekeying made.
func (t *crashToken) give() {
	if ps := t.notify(); len(ps) > 0 {
		t.sa.enqueue(&informational{kind: askToken, payloads: ps})
	}
}

// take keeps the peer's token from a protected message, in place of an earlier one.
func (t *crashToken) take(ps []wire.Payload) {
	n, ok := wire.FindNotify(ps, wire.QuickCrashDetection)
	if !ok || t.sa.e.cfg.CrashTokens.Off || len(n.Data) < minCrashToken || len(n.Data) > maxCrashToken {
		return
	}
	t.known, t.digest = true, sha256.Sum256(n.Data)
}

// forget drops the peer's token at the end of the IKE SA.
func (t *crashToken) forget() { t.known, t.digest = false, [sha256.Size]byte{} }

// note takes the token of a protected message on an authenticated IKE SA, which the peer
// may send at any time (RFC 6290, Section 4.4). That of a rekeying is the successor's.
func (t *crashToken) note(ps []wire.Payload) {
	if t.sa.state.authenticated() && !proposesIKE(ps) {
		t.take(ps)
	}
}

// matches reports whether an unprotected message presents the token. All tokens in it are compared,
// in constant time.
func (t *crashToken) matches(ps []wire.Payload) bool {
	match, seen := 0, 0
	for _, p := range ps {
		n, ok := p.(*wire.Notify)
		if !ok || n.Kind != wire.QuickCrashDetection || len(n.Data) < minCrashToken || len(n.Data) > maxCrashToken {
			continue
		}
		if seen++; seen > maxPresentedTokens {
			break
		}
		digest := sha256.Sum256(n.Data)
		match |= subtle.ConstantTimeCompare(digest[:], t.digest[:])
	}
	return t.known && match == 1
}

// proves handles the tokens of an unprotected message, and reports whether the IKE SA has ended by
// them. A wrong token changes nothing, and there is no response.
func (t *crashToken) proves(d Datagram, ps []wire.Payload) bool {
	s := t.sa
	if _, ok := wire.FindNotify(ps, wire.QuickCrashDetection); !ok || !t.known || !s.state.authenticated() {
		return false
	}
	from := d.Path.Remote().Addr()
	if !s.e.unprotected.AllowToken(s.e.handling.now, from, s.e.knows(from)) {
		s.e.count("ike_crash_tokens_limited")
		return false
	}
	if !t.matches(ps) {
		s.e.count("ike_crash_tokens_wrong")
		s.e.emit(Notice{Level: Debug, Event: "crash-token-wrong", IKESPI: s.ours(), Text: "a message from " + d.Path.Remote().String() + " has a wrong crash token for the IKE SA"})
		return false
	}
	s.e.count("ike_crash_tokens_right")
	t.lostByPeer()
	return true
}

// lostByPeer ends an IKE SA that the peer has proved to have lost. It may have lost its other ones
// as well, which are asked, and answers an attempt to connect again.
func (t *crashToken) lostByPeer() {
	s, p := t.sa, t.sa.party
	switch s.state {
	case saRekeyed:
		s.end(child.EndReplaced, "rekeyed, and lost by the peer")
	case saClosing:
		s.end(child.EndLocal, "deleted, and lost by the peer")
	default:
		s.notice(Warn, "peer-restarted", "the peer has lost the IKE SA, as its crash token proves: it was restarted")
		s.end(child.EndDead, "the peer was restarted")
	}
	for _, o := range p.sas {
		o.live.hint(hintedCheck)
	}
	p.tryWhere(s)
	p.hurry()
}

// lostTokens returns notifies with our token for the IKE SA that a request names, if the request is
// a protected one. A token must not be sent for an IKE SA that exists (RFC 6290, Section 9.2), nor
// for one whose header only lies about the roles: neither SPI may be one of ours.
func (e *Engine) lostTokens(h wire.Header) []wire.Payload {
	if e.inUse(h.InitiatorSPI) || e.inUse(h.ResponderSPI) || h.InitiatorSPI == 0 || h.ResponderSPI == 0 {
		return nil
	}
	return tokenNotify(e.crashToken(spiPair{h.InitiatorSPI, h.ResponderSPI}, !h.Initiator))
}

// isProtected reports whether a message ends with SK{}.
func isProtected(m *wire.Message) bool {
	if len(m.Payloads) == 0 {
		return false
	}
	switch m.Payloads[len(m.Payloads)-1].(type) {
	case *wire.Encrypted, *wire.EncryptedFragment:
		return true
	}
	return false
}
