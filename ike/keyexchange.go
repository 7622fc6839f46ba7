package ike

import (
	"encoding/binary"
	"errors"
	"fmt"

	"culvert/ike/proposal"
	"culvert/ike/reason"
	"culvert/ike/wire"
)

// maxGroups bounds the corrections of a groupChoice: the peer could ask for other groups forever.
const maxGroups = 3

// groupChoice is the key exchange method of a request of ours that offers several.
type groupChoice struct {
	group       wire.TransformID
	corrections int // INVALID_KE_PAYLOAD answers that were followed
}

// errGroupIgnored is returned for an INVALID_KE_PAYLOAD notify that is not followed; see
// groupChoice.groupFacts.
var errGroupIgnored = errors.New("the peer asks for another key exchange, which is not followed")

// correct changes to the group that an INVALID_KE_PAYLOAD notify asks for (RFC 7296, Sections 1.2
// and 1.3), if it is another one of the offers. It returns an error, and changes nothing,
// otherwise.
func (c *groupChoice) correct(data []byte, offers []wire.Proposal) error {
	if len(data) != 2 || c.corrections == maxGroups {
		return errGroupIgnored
	}
	group := wire.TransformID(binary.BigEndian.Uint16(data))
	if group == c.group {
		return errGroupIgnored
	}
	if !proposal.OffersGroup(offers, group) {
		return errGroupIgnored
	}
	c.group = group
	c.corrections++
	return nil
}

// groupFacts returns the facts of an INVALID_KE_PAYLOAD notify that correct did not follow.
func (c *groupChoice) groupFacts(cause reason.Cause, in wire.ExchangeType, data []byte, offers []wire.Proposal) reason.Facts {
	f := reason.Facts{Cause: cause, In: in, Answer: wire.InvalidKEPayload, Ours: reason.Offer{Proposals: offers}}
	if len(data) == 2 {
		f.Group = wire.TransformID(binary.BigEndian.Uint16(data))
	}
	switch {
	case c.corrections == maxGroups:
		f.Ours.Times = maxGroups + 1
	case f.Group == c.group:
		f.Why = fmt.Sprintf("the peer answers INVALID_KE_PAYLOAD and names key exchange %s, which is the one we sent", wire.GroupName(f.Group))
	}
	return f
}
