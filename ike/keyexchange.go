package ike

import (
	"encoding/binary"
	"errors"
	"fmt"

	"culvert/ike/proposal"
	"culvert/ike/wire"
)

// maxGroups bounds the corrections of a groupChoice: the peer could ask for other groups forever.
const maxGroups = 3

// groupChoice is the key exchange method of a request of ours that offers several.
type groupChoice struct {
	group       wire.TransformID
	corrections int // INVALID_KE_PAYLOAD answers that were followed
}

// errGroupIgnored is returned for an INVALID_KE_PAYLOAD notify that has no group, or comes once too
// often.
var errGroupIgnored = errors.New("the peer asks for another key exchange once too often, or for none")

// correct changes to the group that an INVALID_KE_PAYLOAD notify asks for (RFC 7296, Sections 1.2
// and 1.3), if it is another one of the offers. It returns an error, and changes nothing,
// otherwise.
func (c *groupChoice) correct(data []byte, offers []wire.Proposal) error {
	if len(data) != 2 || c.corrections == maxGroups {
		return errGroupIgnored
	}
	group := wire.TransformID(binary.BigEndian.Uint16(data))
	if group == c.group {
		return fmt.Errorf("the peer answers INVALID_KE_PAYLOAD and names key exchange %s, which is the one we sent", wire.GroupName(group))
	}
	if !proposal.OffersGroup(offers, group) {
		return fmt.Errorf("the peer wants key exchange %s, which we do not offer", wire.GroupName(group))
	}
	c.group = group
	c.corrections++
	return nil
}
